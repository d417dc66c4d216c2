"""Attention and its mask as functions: yours to write.

Every query is compared with every key. What turns comparisons into weights that sum to one, and
what must have happened to the future before that?

Check it: python -m check attention FILE; hints: python -m check attention --hint 2
"""

import torch
from torch.nn import functional as F


def causal_mask(T):
    """(T, T): which key (column) the query of each row may look at. Itself and the past, so that none sees ahead.

    One value where it may look and another where not: True and False as here, the reverse, 1 and 0, or 0 and
    -inf to add to scores. Each is right if attention() reads it so.
    """
    raise NotImplementedError("write causal_mask")


def attention(q, k, v, mask):
    """Each query's average of the values, weighted by the softmax of how well their keys fit.

    q and k (…, T, D), v (…, T, E) → (…, T, E), with any axes in front: batch, heads. Scores are divided by √D.
    The mask (T, T) is causal_mask(T), or another pattern of the same two values.
    """
    raise NotImplementedError("write attention")
