"""Starter files for people who write the tasks themselves."""
