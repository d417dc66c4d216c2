"""A decoder-only Transformer, put together from your own pieces in the course's order: yours to write.

The comments are the steps. B batch (in some courses N), T time, C width, H heads of size D.

Check it: python -m check transformer FILE; hints: python -m check transformer --hint 2
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


def positional_encoding(T, C):
    """(T, C): a row for each position, to be added to the token embeddings (the piece `positions`)."""
    # Sines and cosines of positions times speeds, the speeds from 1 down to 1/10,000.
    raise NotImplementedError("write positional_encoding")


def attention(q, k, v, mask):
    """Averages (…, T, D) of the values, weighted by how well queries and keys (…, T, D) fit (the piece `attention`)."""
    # Scores, the mask, the softmax, the average.
    raise NotImplementedError("write attention")


def causal_mask(T):
    """(T, T), True where the query of a row may look at the key of a column: itself and the past."""
    # A triangle.
    raise NotImplementedError("write causal_mask")


class Block(nn.Module):
    """(B, T, C) → (B, T, C): attention in n_head heads, then an MLP, each added to what it read."""

    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        # Layers for queries, keys, values and the output; an MLP; two norms; dropout.
        raise NotImplementedError("write Block.__init__")

    def forward(self, x):  # (B, T, C)
        # 1. The norm, queries, keys and values, heads apart: (B, H, T, D) each.
        # 2. attention() with the mask, heads side by side, the projection, the sum: (B, T, C).
        # 3. The norm, the MLP, the sum: (B, T, C).
        raise NotImplementedError("write Block.forward")


class Transformer(nn.Module):
    """Tokens (B, T) → logits (B, T, V) of the token after each. V is vocab_size, context_size the longest T."""

    def __init__(self, vocab_size, context_size, hidden_size, n_layer, n_head, dropout):
        super().__init__()
        # The token embedding, the positions (a buffer: nothing to learn), n_layer blocks, a norm, the output layer.
        raise NotImplementedError("write Transformer.__init__")

    def forward(self, tokens):  # (B, T)
        # 1. Embeddings plus positions, and dropout: (B, T, C).
        # 2. The blocks: (B, T, C).
        # 3. The norm and the output layer: (B, T, V).
        raise NotImplementedError("write Transformer.forward")
