# Document 003, Q5: "Put it all together to form an entire attention block."
# Attention and the dense layers, norms first, no dropout on the weights.
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
    def __init__(self, d_model, n_heads, dropout):
        super().__init__()
        self.n_heads = n_heads
        self.ln1 = nn.LayerNorm(d_model)
        self.W_Q = nn.Linear(d_model, d_model)
        self.W_K = nn.Linear(d_model, d_model)
        self.W_V = nn.Linear(d_model, d_model)
        self.W_O = nn.Linear(d_model, d_model)
        self.ln2 = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        B, T, C = x.shape
        h = self.ln1(x)
        Q = self.W_Q(h).view(B, T, self.n_heads, -1).transpose(1, 2)
        K = self.W_K(h).view(B, T, self.n_heads, -1).transpose(1, 2)
        V = self.W_V(h).view(B, T, self.n_heads, -1).transpose(1, 2)
        out = attention(Q, K, V, mask(T).to(x.device))
        out = self.W_O(out.transpose(1, 2).reshape(B, T, C))
        x = x + self.dropout(out)
        return x + self.dropout(self.mlp(self.ln2(x)))
