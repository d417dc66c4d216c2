# A right `transformer` in the style of palm_alibi.
import math

import torch
import torch.nn as nn
from torch.nn import functional as F


def alibi(num_heads, T, device):
    """What is added to the scores: the further away, the less, at a slope for each head."""
    slopes = 2.0 ** (-8.0 * torch.arange(1, num_heads + 1, device=device) / num_heads)
    t = torch.arange(T, device=device)
    return -slopes[:, None, None] * (t[:, None] - t[None, :]).abs()


class ParallelBlock(nn.Module):
    """Attention and MLP read the same norm, beside each other; squared ReLU; positions by ALiBi."""

    def __init__(self, d_model, n_heads, dropout):
        super().__init__()
        self.n_heads = n_heads
        self.norm = nn.LayerNorm(d_model, bias=False)
        self.wi = nn.Linear(d_model, 3 * d_model + 4 * d_model, bias=False)
        self.wo_attention = nn.Linear(d_model, d_model, bias=False)
        self.wo_mlp = nn.Linear(4 * d_model, d_model, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v, m = self.wi(self.norm(x)).split([C, C, C, 4 * C], dim=-1)
        q, k, v = (z.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for z in (q, k, v))
        scores = q @ k.mT / math.sqrt(C // self.n_heads) + alibi(self.n_heads, T, x.device)
        scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1), -torch.inf)
        a = self.dropout(scores.softmax(-1)) @ v
        return x + self.dropout(self.wo_attention(a.transpose(1, 2).flatten(2)) + self.wo_mlp(F.relu(m).square()))


class Transformer(nn.Module):
    def __init__(self, vocab_size, max_len, d_model, n_layers, n_heads, dropout):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, d_model)
        self.blocks = nn.Sequential(*(ParallelBlock(d_model, n_heads, dropout) for _ in range(n_layers)))
        self.norm = nn.LayerNorm(d_model)
        self.unembed = nn.Linear(d_model, vocab_size)

    def forward(self, tokens):
        return self.unembed(self.norm(self.blocks(self.embed(tokens))))
