# Document 001, exercise 5.
# "The `forward` method should take two arguments `x, y`"; "returns logits and loss as a tuple"
# "apply weight tying between the token embedding layer and the output layer"
# "a standard deviation of 0.02 (except for the output layers of the `MLP`s use $0.02/\sqrt{2 * \mathtt{n\_layer}}$)"
# Exercise 5 alone: no optimizer, no generate yet, y is required.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class MultiHeadCausalSelfAttention(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        assert hidden_size % n_head == 0
        self.n_head = n_head
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.out = nn.Linear(hidden_size, hidden_size)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x):
        N, T, D = x.shape
        d = D // self.n_head
        Q = self.query(x).view(N, T, self.n_head, d).transpose(1, 2)
        K = self.key(x).view(N, T, self.n_head, d).transpose(1, 2)
        V = self.value(x).view(N, T, self.n_head, d).transpose(1, 2)
        scores = Q @ K.transpose(-2, -1) / math.sqrt(d)
        mask = torch.tril(torch.ones(T, T, device=x.device)).bool()
        scores = scores.masked_fill(~mask, float("-inf"))
        scores = self.dropout1(F.softmax(scores, dim=-1))
        out = (scores @ V).transpose(1, 2).contiguous().view(N, T, D)
        return self.dropout2(self.out(out))


class MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.fc1 = nn.Linear(hidden_size, 4 * hidden_size)
        self.fc2 = nn.Linear(4 * hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return self.dropout(self.fc2(F.gelu(self.fc1(x))))


class Block(nn.Module):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__()
        self.ln1 = nn.LayerNorm(hidden_size)
        self.attn = MultiHeadCausalSelfAttention(hidden_size, n_head, dropout)
        self.ln2 = nn.LayerNorm(hidden_size)
        self.mlp = MLP(hidden_size, dropout)

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        x = x + self.mlp(self.ln2(x))
        return x


class GPT(nn.Module):
    def __init__(self, vocab_size, context_size, hidden_size, n_layer, n_head, dropout):
        super().__init__()
        self.context_size = context_size
        self.token_embedding = nn.Embedding(vocab_size, hidden_size)
        self.position_embedding = nn.Embedding(context_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*[Block(hidden_size, n_head, dropout) for _ in range(n_layer)])
        self.ln = nn.LayerNorm(hidden_size)
        self.output = nn.Linear(hidden_size, vocab_size, bias=False)
        self.output.weight = self.token_embedding.weight

        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            nn.init.normal_(block.mlp.fc2.weight, mean=0.0, std=0.02 / math.sqrt(2 * n_layer))

    def forward(self, x, y):
        N, T = x.shape
        positions = torch.arange(T, device=x.device)
        h = self.dropout(self.token_embedding(x) + self.position_embedding(positions))
        h = self.ln(self.blocks(h))
        logits = self.output(h)
        loss = F.cross_entropy(logits.reshape(N * T, -1), y.reshape(N * T))
        return logits, loss
