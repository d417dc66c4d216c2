"""Asks the learner's process, and judges what it answers."""
