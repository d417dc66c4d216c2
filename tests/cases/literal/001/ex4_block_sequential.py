# Document 001, exercise 4.
# "apply `nn.LayerNorm`, `CausalMultiHeadSelfAttention`, `nn.LayerNorm`, `MLP` in that order"
# "residual connections from the input to the output of `CausalMultiHeadSelfAttention` and from there to the output of `MLP`"
# The four layers in nn.Sequential, two by two; names of exercise 4.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class CausalMultiHeadSelfAttention(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        assert hidden_size % n_head == 0
        self.n_head = n_head
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x):
        N, T, D = x.shape
        d = D // self.n_head
        Q = self.query(x).view(N, T, self.n_head, d).transpose(1, 2)
        K = self.key(x).view(N, T, self.n_head, d).transpose(1, 2)
        V = self.value(x).view(N, T, self.n_head, d).transpose(1, 2)
        scores = Q @ K.transpose(-2, -1) / math.sqrt(d)
        mask = torch.tril(torch.ones(T, T, device=x.device)).bool()
        scores = scores.masked_fill(~mask, float("-inf"))
        scores = self.dropout1(F.softmax(scores, dim=-1))
        out = (scores @ V).transpose(1, 2).contiguous().view(N, T, D)
        return self.dropout2(self.out(out))


class MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(hidden_size, 4 * hidden_size),
            nn.GELU(),
            nn.Linear(4 * hidden_size, hidden_size),
            nn.Dropout(dropout),
        )

    def forward(self, x):
        return self.net(x)


class Block(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        self.attention = nn.Sequential(
            nn.LayerNorm(hidden_size),
            CausalMultiHeadSelfAttention(hidden_size, n_head, dropout),
        )
        self.feed_forward = nn.Sequential(nn.LayerNorm(hidden_size), MLP(hidden_size, dropout))

    def forward(self, x):
        residual = x
        x = self.attention(x) + residual
        residual = x
        return self.feed_forward(x) + residual
