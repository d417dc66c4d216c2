"""003: positions, attention of (Q, K, V), mask, block, architecture, in this order, from one file; then the toy task."""

from tests.courses import assert_names, assert_passes

import pytest

SOLUTION = """
import math

import torch
import torch.nn as nn


def positional_encoding(seq_len, d_model):
    pe = torch.zeros(seq_len, d_model)
    position = torch.arange(0, seq_len, dtype=torch.float).unsqueeze(1)
    div_term = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe


def attention(Q, K, V, mask):
    scores = Q @ K.transpose(-1, -2) / math.sqrt(K.size(-1))
    return torch.softmax(scores + mask, dim=-1) @ V


def causal_mask(T):
    return torch.full((T, T), float("-inf")).triu(1)


class Block(nn.Module):
    def __init__(self, d_model, num_heads, dropout):
        super().__init__()
        self.num_heads = num_heads
        self.W_Q = nn.Linear(d_model, d_model, bias=False)
        self.W_K = nn.Linear(d_model, d_model, bias=False)
        self.W_V = nn.Linear(d_model, d_model, bias=False)
        self.W_O = nn.Linear(d_model, d_model)
        self.ff = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, d_model))
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def heads(self, x):
        B, T, C = x.shape
        return x.reshape(B, T, self.num_heads, C // self.num_heads).permute(0, 2, 1, 3)

    def forward(self, x):
        B, T, C = x.shape
        Q, K, V = self.heads(self.W_Q(x)), self.heads(self.W_K(x)), self.heads(self.W_V(x))
        z = attention(Q, K, V, causal_mask(T)).permute(0, 2, 1, 3).reshape(B, T, C)
        x = self.norm1(x + self.dropout(self.W_O(z)))
        return self.norm2(x + self.dropout(self.ff(x)))


class DecoderOnlyTransformer(nn.Module):
    def __init__(self, vocab_size, max_len, d_model, num_layers, num_heads, dropout):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, d_model)
        self.register_buffer("pe", positional_encoding(max_len, d_model))
        self.blocks = nn.ModuleList([Block(d_model, num_heads, dropout) for _ in range(num_layers)])
        self.unembed = nn.Linear(d_model, vocab_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens):
        x = self.dropout(self.embed(tokens) + self.pe[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.unembed(x)
"""

FAULTS = [
    ("positions", ("the angle multiplied, not divided", "(-math.log(10000.0) / d_model)", "(math.log(10000.0) / d_model)", "formula")),
    ("positions", ("one frequency", "torch.arange(0, d_model, 2).float() * (", "torch.arange(0, d_model, 2).float() * 0 * (", "position")),
    ("positions", ("sines in both halves", "torch.cos(position * div_term)", "torch.sin(position * div_term)", "formula")),
    ("attention", ("no root", "math.sqrt(K.size(-1))", "K.size(-1)", "formula")),
    ("attention", ("scaled by the length", "math.sqrt(K.size(-1))", "math.sqrt(K.size(-2))", "formula")),
    ("attention", ("softmax along the queries", "dim=-1) @ V", "dim=-2) @ V", "causality")),
    ("attention", ("a mask that sees one ahead", ".triu(1)", ".triu(2)", "causality")),
    ("attention", ("the mask added after the softmax", "torch.softmax(scores + mask, dim=-1) @ V", "(torch.softmax(scores, dim=-1) + mask) @ V", "steadiness")),
    ("transformer", ("the present hidden", ".triu(1)", ".triu(0)", "steadiness")),
    ("transformer", ("no mask", ".triu(1)", ".triu(1) * 0", "steadiness")),
    ("transformer", ("a mask that sees one ahead", ".triu(1)", ".triu(2)", "causality")),
    ("transformer", ("no positions", " + self.pe[: tokens.shape[1]]", "", "position")),
    ("transformer", ("heads not moved", ".permute(0, 2, 1, 3)\n\n", ".reshape(B, self.num_heads, T, C // self.num_heads)\n\n", "causality")),
    ("transformer", ("positions of the longest text", "self.pe[: tokens.shape[1]]", "self.pe", "shapes")),
    ("transformer", ("attention that cannot learn", "self.W_O(z)", "self.W_O(z.detach())", "layers")),
]  # fmt: skip


@pytest.mark.parametrize("piece", ["positions", "attention", "transformer"])
def test_pieces_and_what_is_put_together_from_them_pass(tmp_path, piece):
    assert_passes(tmp_path, piece, SOLUTION)


@pytest.mark.parametrize(("piece", "fault"), FAULTS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_faults_are_named(tmp_path, piece, fault):
    assert_names(tmp_path, piece, SOLUTION, fault)
