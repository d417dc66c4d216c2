"""Multi-head attention as a module, in eight steps: yours to write.

The comments are the steps. B batch (in some courses N), T time, C width, H heads of size D.

Check it: python -m check multi_head_attention FILE; hints: python -m check multi_head_attention --hint 2
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


class MultiHeadCausalSelfAttention(nn.Module):
    """(B, T, C) → (B, T, C): every position reads itself and the past, in H heads of D = C / H numbers each.

    The course's names: hidden_size is C. Dropout acts on the attention weights and on the output. With causal=False
    every position reads all others, as in an encoder.
    """

    def __init__(self, hidden_size, n_head, dropout, causal=True):
        super().__init__()
        # Linear layers C → C for queries, keys and values, and one for the output; dropout in two places.
        raise NotImplementedError("write MultiHeadCausalSelfAttention.__init__")

    def forward(self, x):  # (B, T, C)
        # 1. Queries, keys and values of all heads: (B, T, C) each.
        #    Question: what does a linear layer multiply, and along which axis of x?
        # 2. Heads apart: a view as (B, T, H, D), then T and H exchanged: (B, H, T, D).
        #    Question: why is a view as (B, H, T, D) wrong, although it has the right shape?
        # 3. Batch and heads merged: (B · H, T, D).
        #    Question: torch.bmm knows one axis of matrices. What is a head to it?
        # 4. Scores of all queries and keys, divided by √D: (B · H, T, T).
        #    Question: which axes of k are exchanged before the product?
        # 5. Scores of the future become -inf, where the attention is causal.
        #    Question: why before the softmax, and why not zero?
        # 6. Softmax along the keys, then dropout.
        #    Question: which axis sums to one?
        # 7. Averages of the values: (B · H, T, D).
        # 8. Heads side by side again, (B, H, T, D) → (B, T, H, D) → (B, T, C); then the projection and dropout.
        #    Question: what would the next layer see without the projection?
        raise NotImplementedError("write MultiHeadCausalSelfAttention.forward")
