"""What the check looks at in a model, one file for each property or two."""
