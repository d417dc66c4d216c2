"""How fast can it write? python -m studies.generation"""
