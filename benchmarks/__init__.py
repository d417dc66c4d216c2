"""How fast: measurements of time, beside the machine's own speed."""
