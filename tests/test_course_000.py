"""000: multi-head attention, an encoder from it and torch.nn, a character model. Names and steps as in its notes."""

from tests.courses import assert_names, assert_passes

import pytest

SOLUTION = """
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, input_size, hidden, num_heads, causal=True, dropout=0.1):
        super().__init__()
        assert hidden % num_heads == 0
        self.num_heads = num_heads
        self.head_size = hidden // num_heads
        self.causal = causal
        self.q = nn.Linear(input_size, hidden)
        self.k = nn.Linear(input_size, hidden)
        self.v = nn.Linear(input_size, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.mix_dropout = nn.Dropout(dropout)

    def forward(self, x):
        bs, seq, _ = x.shape
        q = self.q(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2)
        k = self.k(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2)
        v = self.v(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2)
        q = q.reshape(bs * self.num_heads, seq, self.head_size)
        k = k.reshape(bs * self.num_heads, seq, self.head_size)
        v = v.reshape(bs * self.num_heads, seq, self.head_size)
        scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(self.head_size)
        if self.causal:
            causal_mask = torch.triu(torch.ones(seq, seq, dtype=torch.bool), diagonal=1)
            scores.masked_fill_(causal_mask, float("-inf"))
        probs = self.dropout(F.softmax(scores, dim=-1))
        att = torch.bmm(probs, v)
        att = att.reshape(bs, self.num_heads, seq, self.head_size).transpose(1, 2)
        att = att.reshape(bs, seq, self.num_heads * self.head_size)
        return self.mix_dropout(self.mix(att))


class TransformerEncoderLayer(nn.Module):
    def __init__(self, hidden, num_heads, fcn_hidden, dropout, causal):
        super().__init__()
        self.att = MultiHeadSelfAttention(hidden, hidden, num_heads, causal, dropout)
        self.att_layernorm = nn.LayerNorm(hidden)
        self.fcn = nn.Sequential(nn.Linear(hidden, fcn_hidden), nn.ReLU(), nn.Linear(fcn_hidden, hidden))
        self.fcn_layernorm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.att_layernorm(x + self.att(x))
        return self.fcn_layernorm(x + self.dropout(self.fcn(x)))


class TransformerEncoder(nn.Module):
    def __init__(self, vocab_size, max_seq_len, hidden, num_layers, num_heads, dropout, causal):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, hidden)
        self.positional = nn.Embedding(max_seq_len, hidden)
        self.layers = nn.ModuleList(
            [TransformerEncoderLayer(hidden, num_heads, 4 * hidden, dropout, causal) for _ in range(num_layers)]
        )
        self.out = nn.Linear(hidden, vocab_size)

    def forward(self, input_ids):
        bs, seq = input_ids.shape
        x = self.embed(input_ids) + self.positional(torch.arange(seq))
        for layer in self.layers:
            x = layer(x)
        return self.out(x)
"""

ATTENTION = [
    ("no mask", "if self.causal:", "if False:", "causality"),
    ("the mask hides the present, too", "diagonal=1", "diagonal=0", "steadiness"),
    ("the mask's other triangle", "torch.triu(torch.ones(seq, seq, dtype=torch.bool), diagonal=1)",
     "torch.tril(torch.ones(seq, seq, dtype=torch.bool), diagonal=-1)", "causality"),
    ("softmax over the queries", "dim=-1))", "dim=1))", "causality"),
    ("heads split without a transpose", "view(bs, seq, self.num_heads, self.head_size).transpose(1, 2)",
     "view(bs, self.num_heads, seq, self.head_size)", "causality"),
    ("heads put back without a transpose", "att.reshape(bs, self.num_heads, seq, self.head_size).transpose(1, 2)", "att", "causality"),
    ("no scale", " / math.sqrt(self.head_size)", "", "logits"),
    ("heads and batch in the wrong order", "att.reshape(bs, self.num_heads, seq, self.head_size).transpose(1, 2)",
     "att.reshape(self.num_heads, bs, seq, self.head_size).permute(1, 2, 0, 3)", "steadiness"),
    ("the heads not mixed", "self.mix_dropout(self.mix(att))", "self.mix_dropout(att)", "logits"),
    ("dropout on the scores", "self.dropout(F.softmax(scores, dim=-1))", "F.softmax(self.dropout(scores), dim=-1)", "steadiness"),
    ("always causal", "if self.causal:", "if True:", "bidirectional"),
]  # fmt: skip
ENCODER = [
    ("positions looked up with the tokens", "self.positional(torch.arange(seq))", "self.positional(input_ids % 7)", "position"),
    ("no mask where it is causal", "causal, dropout)", "False, dropout)", "causality"),
    ("a mask where it is not", "causal, dropout)", "True, dropout)", "bidirectional"),
    ("hidden states, no logits", "return self.out(x)", "return x", "shapes"),
    ("dropout in evaluation", "self.dropout(self.fcn(x))", "F.dropout(self.fcn(x), 0.1)", "steadiness"),
    ("one layer, called again and again", "for layer in self.layers:\n            x = layer(x)",
     "for layer in self.layers:\n            x = self.layers[0](x)", "layers"),
]  # fmt: skip


@pytest.mark.parametrize("piece", ["multi_head_attention", "encoder"])
def test_the_solution_that_the_faults_are_put_into_passes(tmp_path, piece):
    assert_passes(tmp_path, piece, SOLUTION)


@pytest.mark.parametrize("fault", ATTENTION, ids=lambda fault: fault[0])
def test_faults_of_the_attention_are_named(tmp_path, fault):
    assert_names(tmp_path, "multi_head_attention", SOLUTION, fault)


@pytest.mark.parametrize("fault", ENCODER, ids=lambda fault: fault[0])
def test_faults_of_the_encoder_are_named(tmp_path, fault):
    assert_names(tmp_path, "encoder", SOLUTION, fault)
