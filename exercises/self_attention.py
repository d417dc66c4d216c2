"""Causal self-attention with one head as a module: yours to write.

The comments are the steps. B batch (in some courses N), T time, C width, H heads of size D.

Check it: python -m check self_attention FILE; hints: python -m check self_attention --hint 2
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class CausalSelfAttention(nn.Module):
    """(B, T, C) → (B, T, C): every position reads itself and the past, in one head of D = C numbers.

    The course's names: hidden_size is C or D. Dropout acts on the attention weights. There is no projection.
    """

    def __init__(self, hidden_size, dropout):
        super().__init__()
        # Linear layers C → C for queries, keys and values; dropout.
        raise NotImplementedError("write CausalSelfAttention.__init__")

    def forward(self, x):  # (B, T, C)
        # 1. Queries, keys and values: (B, T, C) each.
        # 2. Scores of all queries and keys, divided by √D: (B, T, T).
        #    Question: which axes of k are exchanged before the product?
        # 3. Scores of the future become -inf.
        #    Question: why before the softmax, and why not zero?
        # 4. Softmax along the keys, then dropout: (B, T, T). Averages of the values: (B, T, C).
        #    Question: which axis sums to one?
        raise NotImplementedError("write CausalSelfAttention.forward")
