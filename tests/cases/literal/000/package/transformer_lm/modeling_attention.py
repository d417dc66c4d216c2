# Document 000, part 1, the file inside the package.
# "Moved selfAttenion class to modeling_attention.py"
# "self.q,k,v(x) transforms from [bs,seq,input_size] into [bs,seq,hidden]"
# "The reshape operation combines batch_size and num_heads into a single dimension"
# "torch.triu created an upper traingular matrix"; "masked_fill_ replaces the elements of scores"
# "self.mix processes the concatenated heads"
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class SelfAttention(nn.Module):
    def __init__(self, input_size, hidden, num_heads, causal=False, dropout=0.0):
        super().__init__()
        assert hidden % num_heads == 0
        self.num_heads = num_heads
        self.head_size = hidden // num_heads
        self.causal = causal
        self.scale = math.sqrt(self.head_size)

        self.q = nn.Linear(input_size, hidden)
        self.k = nn.Linear(input_size, hidden)
        self.v = nn.Linear(input_size, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        bs, seq, _ = x.shape

        # [bs, seq, input_size] -> [bs, seq, hidden] -> [bs, seq, num_heads, head_size] -> [bs, num_heads, seq, head_size]
        q = self.q(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2)
        k = self.k(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2)
        v = self.v(x).view(bs, seq, self.num_heads, self.head_size).transpose(1, 2)

        # -> [bs * num_heads, seq, head_size]
        q = q.reshape(bs * self.num_heads, seq, self.head_size)
        k = k.reshape(bs * self.num_heads, seq, self.head_size)
        v = v.reshape(bs * self.num_heads, seq, self.head_size)

        scores = q @ k.transpose(1, 2) / self.scale  # [bs * num_heads, seq, seq]

        if self.causal:
            causal_mask = torch.triu(torch.ones(seq, seq, dtype=torch.bool, device=x.device), diagonal=1)
            scores.masked_fill_(causal_mask, float("-inf"))

        probs = F.softmax(scores, dim=-1)
        probs = self.dropout(probs)

        out = probs @ v  # [bs * num_heads, seq, head_size]
        out = out.reshape(bs, self.num_heads, seq, self.head_size).transpose(1, 2)
        out = out.reshape(bs, seq, self.num_heads * self.head_size)
        return self.mix(out)
