"""What every script needs besides its model: text, evaluation, flags, progress, clean exits."""
