"""The record: how low a loss a GPT reaches on two cores (README.md)."""
