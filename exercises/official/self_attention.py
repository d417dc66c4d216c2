"""Causal self-attention with one head as a module.

Paper: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.2.1.
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
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):  # (B, T, C)
        # 1. Queries, keys and values: (B, T, C) each.
        _, T, C = x.shape
        q, k, v = self.query(x), self.key(x), self.value(x)  # (B, T, C) each
        # 2. Scores of all queries and keys, divided by √D: (B, T, T).
        #    Question: which axes of k are exchanged before the product?
        scores = q @ k.transpose(1, 2) / math.sqrt(C)  # (B, T, T)
        # 3. Scores of the future become -inf.
        #    Question: why before the softmax, and why not zero?
        future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)  # (T, T)
        scores = scores.masked_fill(future, float("-inf"))
        # 4. Softmax along the keys, then dropout: (B, T, T). Averages of the values: (B, T, C).
        #    Question: which axis sums to one?
        return self.dropout(F.softmax(scores, dim=-1)) @ v  # (B, T, C)
