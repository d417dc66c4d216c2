# A right `block` in the style of heads_loop.
import math

import torch
import torch.nn as nn


class MultiHeadAttention(nn.Module):
    def __init__(self, hidden_size, num_heads, dropout, causal=True):
        super().__init__()
        self.num_heads = num_heads
        self.head_size = hidden_size // num_heads
        self.causal = causal
        self.queries = nn.ModuleList()
        self.keys = nn.ModuleList()
        self.values = nn.ModuleList()
        for i in range(num_heads):
            self.queries.append(nn.Linear(hidden_size, self.head_size))
            self.keys.append(nn.Linear(hidden_size, self.head_size))
            self.values.append(nn.Linear(hidden_size, self.head_size))
        self.output = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        seq_len = x.shape[1]
        results = []
        for i in range(self.num_heads):
            q = self.queries[i](x)
            k = self.keys[i](x)
            v = self.values[i](x)
            scores = torch.matmul(q, k.transpose(1, 2)) / math.sqrt(self.head_size)
            if self.causal:
                for row in range(seq_len):
                    scores[:, row, row + 1 :] = float("-inf")
            weights = torch.softmax(scores, dim=2)
            weights = self.dropout(weights)
            results.append(torch.matmul(weights, v))
        x = torch.cat(results, dim=2)
        x = self.output(x)
        x = self.dropout(x)
        return x


class MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.layer1 = nn.Linear(hidden_size, hidden_size * 4)
        self.activation = nn.GELU()
        self.layer2 = nn.Linear(hidden_size * 4, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.layer1(x)
        x = self.activation(x)
        x = self.layer2(x)
        x = self.dropout(x)
        return x


class Block(nn.Module):
    def __init__(self, hidden_size, num_heads, dropout):
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size)
        self.attention = MultiHeadAttention(hidden_size, num_heads, dropout)
        self.norm2 = nn.LayerNorm(hidden_size)
        self.mlp = MLP(hidden_size, dropout)

    def forward(self, x):
        a = self.norm1(x)
        a = self.attention(a)
        x = x + a
        b = self.norm2(x)
        b = self.mlp(b)
        x = x + b
        return x
