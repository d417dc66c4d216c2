"""Sinusoidal positional encoding: yours to write.

A clock tells the time of day with hands of different speeds. Which hands would tell apart thousands
of positions, and why does a hand need two numbers?

Check it: python -m check positions FILE; hints: python -m check positions --hint 2
"""

import torch


def positional_encoding(T, C):
    """(T, C) of floats, C even: a row for each position from 0, to be added to the token embeddings.

    Sines stand at even columns, the cosine of the same angle beside each. All sines before all cosines, and cosines
    before sines, are as good. Angles grow with the position, by 1 radian a position in the first pair and by almost
    1/10,000 in the last, each pair slower than the one before by the same factor.
    """
    raise NotImplementedError("write positional_encoding")
