"""Marking a folder of submissions: python -m check grade DIR"""
