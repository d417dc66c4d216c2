# Document 001, exercise 2.
# "split the hidden dimension of the pre-activations (i.e., $Q, K, V$) in `n_head` equally sized parts"
# "Finally, apply the second dropout layer after the output projection."
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
