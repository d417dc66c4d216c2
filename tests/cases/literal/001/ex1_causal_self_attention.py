# Document 001, exercise 1 (a picture; exercise 2 says what it must have).
# "extends the functionality of `CausalSelfAttention` from the previous exercise"; one head, no output projection.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class CausalSelfAttention(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.hidden_size = hidden_size
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        N, T, D = x.shape
        Q, K, V = self.query(x), self.key(x), self.value(x)
        S = Q @ K.transpose(1, 2) / math.sqrt(D)
        S = S.masked_fill(torch.triu(torch.ones(T, T, device=x.device), diagonal=1).bool(), float("-inf"))
        A = self.dropout(F.softmax(S, dim=-1))
        return A @ V
