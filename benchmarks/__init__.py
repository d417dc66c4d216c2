"""How fast: measurements of time, with the machine's own speed."""
