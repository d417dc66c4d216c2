# Document 003, Q5: "Finish the whole architecture."; "Implement a decoder-only transformer language model."
# Each head with matrices of its own ("each head will take different roles, so they will have different parameters"); learned positions.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def mask(scores):
    T = scores.shape[-1]
    return scores.masked_fill(torch.ones(T, T, device=scores.device).triu(1) == 1, float("-inf"))


def attention(Q, K, V):
    return F.softmax(mask(Q @ K.transpose(-2, -1) / math.sqrt(K.shape[-1])), dim=-1) @ V


class Head(nn.Module):
    def __init__(self, d_model, d_head):
        super().__init__()
        self.W_Q = nn.Linear(d_model, d_head, bias=False)
        self.W_K = nn.Linear(d_model, d_head, bias=False)
        self.W_V = nn.Linear(d_model, d_head, bias=False)

    def forward(self, x):
        return attention(self.W_Q(x), self.W_K(x), self.W_V(x))


class AttentionBlock(nn.Module):
    def __init__(self, d_model, num_heads):
        super().__init__()
        self.heads = nn.ModuleList([Head(d_model, d_model // num_heads) for _ in range(num_heads)])
        self.dense = nn.Linear(d_model, d_model)
        self.feed_forward = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, d_model))
        self.ln1 = nn.LayerNorm(d_model)
        self.ln2 = nn.LayerNorm(d_model)

    def forward(self, x):
        h = self.ln1(x)
        x = x + self.dense(torch.cat([head(h) for head in self.heads], dim=-1))
        return x + self.feed_forward(self.ln2(x))


class TransformerLM(nn.Module):
    def __init__(self, vocab_size, seq_len, d_model, num_layers, num_heads, dropout=0.0):
        super().__init__()
        self.tok = nn.Embedding(vocab_size, d_model)
        self.pos = nn.Embedding(seq_len, d_model)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*[AttentionBlock(d_model, num_heads) for _ in range(num_layers)])
        self.ln_f = nn.LayerNorm(d_model)
        self.head = nn.Linear(d_model, vocab_size, bias=False)

    def forward(self, idx, targets=None):
        x = self.drop(self.tok(idx) + self.pos(torch.arange(idx.shape[1], device=idx.device)))
        logits = self.head(self.ln_f(self.blocks(x)))
        if targets is None:
            return logits
        return logits, F.cross_entropy(logits.transpose(1, 2), targets)
