# Document 003, Q5: "Finish the whole architecture."; "Implement a decoder-only transformer language model."
# As in the paper: scaled embeddings, post-LN blocks, ReLU, no final norm; no dropout argument, for none is mentioned.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def positional_embedding(T, C):
    position = torch.arange(T).float().unsqueeze(1)
    div_term = torch.exp(torch.arange(0, C, 2).float() * (-math.log(10000.0) / C))
    pe = torch.zeros(T, C)
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe


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


class DecoderOnlyTransformer(nn.Module):
    def __init__(self, vocab_size, context_size, d_model, n_layers, n_heads):
        super().__init__()
        self.d_model = d_model
        self.context_size = context_size
        self.token_embedding = nn.Embedding(vocab_size, d_model)
        self.blocks = nn.Sequential(*(AttentionBlock(d_model, n_heads) for _ in range(n_layers)))
        self.linear = nn.Linear(d_model, vocab_size)

    def forward(self, tokens):
        T = tokens.shape[1]
        x = self.token_embedding(tokens) * math.sqrt(self.d_model)
        x = x + positional_embedding(T, self.d_model).to(x.device)
        return self.linear(self.blocks(x))
