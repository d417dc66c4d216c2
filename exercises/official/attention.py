"""Attention and its mask as functions.

Paper: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.2.1.
"""

import torch
from torch.nn import functional as F


def causal_mask(T):
    """(T, T): which key (column) the query of each row may look at. Itself and the past, so that none sees ahead.

    One value where it may look and another where not: True and False as here, the reverse, 1 and 0, or 0 and
    -inf to add to scores. Each is right if attention() reads it so.
    """
    return torch.ones(T, T, dtype=torch.bool).tril()


def attention(q, k, v, mask):
    """Each query's average of the values, weighted by the softmax of how well their keys fit.

    q and k (…, T, D), v (…, T, E) → (…, T, E), with any axes in front: batch, heads. Scores are divided by √D.
    The mask (T, T) is causal_mask(T), or another pattern of the same two values.
    """
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5  # (…, T, T)
    scores = torch.where(mask, scores, float("-inf"))
    weights = F.softmax(scores, dim=-1)  # (…, T, T), each row sums to 1
    return weights @ v  # (…, T, E)
