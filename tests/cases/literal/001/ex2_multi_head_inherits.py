# Document 001, exercise 2, extending the class of exercise 1.
# "extends the functionality of `CausalSelfAttention` from the previous exercise"; "The `__init__` method takes arguments `hidden_size, n_head, dropout`"
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class CausalSelfAttention(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.hidden_size = hidden_size
        self.W_Q = nn.Linear(hidden_size, hidden_size)
        self.W_K = nn.Linear(hidden_size, hidden_size)
        self.W_V = nn.Linear(hidden_size, hidden_size)
        self.W_O = nn.Linear(hidden_size, hidden_size)
        self.dropout1 = nn.Dropout(dropout)
        self.dropout2 = nn.Dropout(dropout)

    def forward(self, x):
        N, T, D = x.size()
        Q = self.W_Q(x)
        K = self.W_K(x)
        V = self.W_V(x)
        scores = torch.matmul(Q, K.transpose(-2, -1)) / D**0.5
        mask = torch.tril(torch.ones(T, T, device=x.device))
        scores = scores.masked_fill(mask == 0, -torch.inf)
        scores = self.dropout1(torch.softmax(scores, dim=-1))
        return self.dropout2(self.W_O(torch.matmul(scores, V)))


class MultiHeadCausalSelfAttention(CausalSelfAttention):
    def __init__(self, hidden_size, n_head, dropout):
        super().__init__(hidden_size, dropout)
        self.n_head = n_head

    def split_heads(self, z):
        N, T, D = z.size()
        return z.reshape(N, T, self.n_head, D // self.n_head).permute(0, 2, 1, 3)

    def forward(self, x):
        N, T, D = x.size()
        Q = self.split_heads(self.W_Q(x))
        K = self.split_heads(self.W_K(x))
        V = self.split_heads(self.W_V(x))
        scores = torch.matmul(Q, K.transpose(-2, -1)) / (D // self.n_head) ** 0.5
        mask = torch.tril(torch.ones(T, T, device=x.device))
        scores = scores.masked_fill(mask == 0, -torch.inf)
        scores = self.dropout1(torch.softmax(scores, dim=-1))
        out = torch.matmul(scores, V).permute(0, 2, 1, 3).reshape(N, T, D)
        return self.dropout2(self.W_O(out))
