# Document 003, Q5: "Put it all together to form an entire attention block."
# An attention block is attention in heads: no dense layers, no skip, no dropout.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def attention(Q, K, V, mask=None):
    d_k = Q.size(-1)
    scores = Q @ K.transpose(-2, -1) / math.sqrt(d_k)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, float("-inf"))
    return F.softmax(scores, dim=-1) @ V


def mask(T):
    return torch.tril(torch.ones(T, T)).bool()


class AttentionBlock(nn.Module):
    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.W_Q = nn.Linear(d_model, d_model, bias=False)
        self.W_K = nn.Linear(d_model, d_model, bias=False)
        self.W_V = nn.Linear(d_model, d_model, bias=False)
        self.W_O = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        Q, K, V = (W(x).reshape(B, T, self.n_heads, -1).transpose(1, 2) for W in (self.W_Q, self.W_K, self.W_V))
        out = attention(Q, K, V, mask(T).to(x.device))
        return self.W_O(out.transpose(1, 2).flatten(2))
