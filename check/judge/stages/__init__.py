"""What the check tests in a model, one file for each property or two."""
