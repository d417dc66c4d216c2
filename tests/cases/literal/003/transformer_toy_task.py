# Document 003, Q5: "train your model on a toy task, such as reversing a random sequence of tokens"
# "The model should be able to predict the second half of the sequence, but not the first."
# The whole model and its toy task under a main guard.
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


class Transformer(nn.Module):
    def __init__(self, vocab_size, max_seq_len, d_model, n_layers, n_heads, dropout):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, d_model)
        self.register_buffer("pos", positional_embedding(max_seq_len, d_model))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([AttentionBlock(d_model, n_heads, dropout) for _ in range(n_layers)])
        self.ln = nn.LayerNorm(d_model)
        self.unembed = nn.Linear(d_model, vocab_size)

    def forward(self, tokens):
        x = self.dropout(self.embed(tokens) + self.pos[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.ln(x))


def reversed_batch(batch_size=64, half=5, vocab_size=10):
    first = torch.randint(vocab_size, (batch_size, half))
    sequence = torch.cat([first, first.flip(1)], dim=1)
    return sequence[:, :-1], sequence[:, 1:]


def train_on_reversal(model, steps=300, lr=3e-3):
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    for _ in range(steps):
        x, y = reversed_batch()
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    x, y = reversed_batch(500)
    hits = (model(x).argmax(-1) == y).float().mean(0)
    return hits[:4].mean().item(), hits[4:].mean().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    first, second = train_on_reversal(Transformer(10, 16, 32, 2, 4, 0.0))
    print(f"first half {first:.1%}, second half {second:.1%}")
