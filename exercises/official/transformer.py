"""A decoder-only Transformer, put together from your own pieces in the course's order.

Papers: Attention Is All You Need, https://arxiv.org/abs/1706.03762; norms before the branches,
https://arxiv.org/abs/2002.04745.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


def positional_encoding(T, C):
    """(T, C): a row for each position, to be added to the token embeddings (the piece `positions`)."""
    # Sines and cosines of positions times speeds, the speeds from 1 down to 1/10,000.
    speeds = 10_000.0 ** (-torch.arange(0, C, 2) / C)  # (C / 2)
    angles = torch.arange(T)[:, None] * speeds  # (T, C / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)  # (T, C)


def attention(q, k, v, mask):
    """Averages (…, T, D) of the values, weighted by how well queries and keys (…, T, D) fit (the piece `attention`)."""
    # Scores, the mask, the softmax, the average.
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (…, T, T)
    return F.softmax(scores.masked_fill(~mask, float("-inf")), dim=-1) @ v  # (…, T, D)


def causal_mask(T):
    """(T, T), True where the query of a row may look at the key of a column: itself and the past."""
    # A triangle.
    return torch.ones(T, T, dtype=torch.bool).tril()


class Block(nn.Module):
    """(B, T, C) → (B, T, C): attention in n_head heads, then an MLP, each added to what it read."""

    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        # Layers for queries, keys, values and the output; an MLP; two norms; dropout.
        self.n_head = n_head
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.projection = nn.Linear(hidden_size, hidden_size)
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, 4 * hidden_size), nn.GELU(), nn.Linear(4 * hidden_size, hidden_size)
        )
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.mlp_norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):  # (B, T, C)
        # 1. The norm, queries, keys and values, heads apart: (B, H, T, D) each.
        B, T, C = x.shape
        parts = self.qkv(self.attention_norm(x)).chunk(3, dim=-1)  # (B, T, C) each
        q, k, v = (part.view(B, T, self.n_head, -1).transpose(1, 2) for part in parts)  # (B, H, T, D) each
        # 2. attention() with the mask, heads side by side, the projection, the sum: (B, T, C).
        output = attention(q, k, v, causal_mask(T).to(x.device))  # (B, H, T, D)
        x = x + self.dropout(self.projection(output.transpose(1, 2).reshape(B, T, C)))  # (B, T, C)
        # 3. The norm, the MLP, the sum: (B, T, C).
        return x + self.dropout(self.mlp(self.mlp_norm(x)))  # (B, T, C)


class Transformer(nn.Module):
    """Tokens (B, T) → logits (B, T, V) of the token after each. V is vocab_size, context_size the longest T."""

    def __init__(self, vocab_size, context_size, hidden_size, n_layer, n_head, dropout):
        super().__init__()
        # The token embedding, the positions (a buffer: nothing to learn), n_layer blocks, a norm, the output layer.
        self.context_size = context_size
        self.token_embedding = nn.Embedding(vocab_size, hidden_size)
        self.register_buffer("positions", positional_encoding(context_size, hidden_size))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(hidden_size, n_head, dropout) for _ in range(n_layer))
        self.final_norm = nn.LayerNorm(hidden_size)
        self.lm_head = nn.Linear(hidden_size, vocab_size)

    def forward(self, tokens):  # (B, T)
        # 1. Embeddings plus positions, and dropout: (B, T, C).
        x = self.dropout(self.token_embedding(tokens) + self.positions[: tokens.shape[1]])  # (B, T, C)
        # 2. The blocks: (B, T, C).
        for block in self.blocks:
            x = block(x)  # (B, T, C)
        # 3. The norm and the output layer: (B, T, V).
        return self.lm_head(self.final_norm(x))  # (B, T, V)
