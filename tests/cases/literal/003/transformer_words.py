# Document 003, Q5: "Tokenize the corpus by splitting at word boundaries (re.split(r"\b", ...))"
# "Make sure you don't use overlapping sequences as this can lead to overfitting."
# The whole model, and its training on words in main().
import math
import re

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


def word_sequences(path, seq_len):
    with open(path, encoding="utf-8") as file:
        words = [word for word in re.split(r"\b", file.read()) if word]
    vocabulary = {word: i for i, word in enumerate(sorted(set(words)))}
    ids = torch.tensor([vocabulary[word] for word in words])
    n = (len(ids) - 1) // seq_len
    x = ids[: n * seq_len].view(n, seq_len)
    y = ids[1 : n * seq_len + 1].view(n, seq_len)
    return vocabulary, x, y


def main(path="input.txt", seq_len=64, batch_size=16, epochs=1, max_steps=None):
    vocabulary, x, y = word_sequences(path, seq_len)
    model = Transformer(len(vocabulary), seq_len, 64, 2, 4, 0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(epochs):
        for step, batch in enumerate(torch.randperm(len(x)).split(batch_size)):
            if step == max_steps:
                break
            loss = F.cross_entropy(model(x[batch]).transpose(1, 2), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if step % 100 == 0:
                print(step, loss.item())
    return losses


if __name__ == "__main__":
    main()
