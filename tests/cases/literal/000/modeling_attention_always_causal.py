# Document 000, part 1. The notes name no switch for the mask: here it is always there.
# "torch.triu created an upper traingular matrix of seq^2 ensuring for each postion i attetnion can not see postions j > i"
# "masked_fill_ replaces the elements of scores where casual mask with '-inf'"
import math

import torch
from torch import nn
from torch.nn.functional import softmax


class SelfAttention(nn.Module):
    def __init__(self, hidden, num_heads, dropout):
        super().__init__()
        self.q = nn.Linear(hidden, hidden)
        self.k = nn.Linear(hidden, hidden)
        self.v = nn.Linear(hidden, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.num_heads = num_heads
        self.head_size = hidden // num_heads
        self.scale = math.sqrt(self.head_size)

    def forward(self, x):
        bs, seq, hidden = x.shape
        q = self.q(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2).reshape(-1, seq, self.head_size)
        k = self.k(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2).reshape(-1, seq, self.head_size)
        v = self.v(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2).reshape(-1, seq, self.head_size)
        scores = q.matmul(k.transpose(-1, -2)).div(self.scale)
        scores.masked_fill_(torch.triu(torch.ones(seq, seq, device=x.device), 1) == 1, float("-inf"))
        z = self.dropout(softmax(scores, -1)).matmul(v)
        z = z.reshape(bs, self.num_heads, seq, self.head_size).transpose(1, 2).reshape(bs, seq, hidden)
        return self.mix(z)
