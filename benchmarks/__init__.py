"""Measurements of time, with the machine's own speed."""
