"""The commands of python -m check, except grade."""
