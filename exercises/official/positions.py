"""Sinusoidal positional encoding.

Paper: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.5.
"""

import torch


def positional_encoding(T, C):
    """(T, C) of floats, C even: a row for each position from 0, to be added to the token embeddings.

    Sines are in even columns, the cosine of the same angle next to each. All sines before all cosines, and cosines
    before sines, are as good. Angles grow with the position, by 1 radian a position in the first pair and by almost
    1/10,000 in the last, each pair slower than the one before by the same factor.
    """
    positions = torch.arange(T)[:, None]  # (T, 1)
    speeds = 10_000.0 ** (-torch.arange(0, C, 2) / C)  # (C / 2), radians a position
    angles = positions * speeds  # (T, C / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)  # (T, C)
