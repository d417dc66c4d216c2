"""Which property does my code violate? python -m check task03 my_task03.py"""
