# Document 003, Q5: "Put it all together to form an entire attention block."
# As in "Attention is all you need": norms after the sums, ReLU; no dropout is mentioned.
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
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.ff1 = nn.Linear(d_model, 4 * d_model)
        self.ff2 = nn.Linear(4 * d_model, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)

    def forward(self, x):
        B, T, C = x.shape
        Q, K, V = self.qkv(x).view(B, T, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        a = attention(Q, K, V, mask(T).to(x.device)).transpose(1, 2).reshape(B, T, C)
        x = self.norm1(x + self.out(a))
        return self.norm2(x + self.ff2(F.relu(self.ff1(x))))
