"""The page on which all lessons write, and its server: python -m page"""
