# Document 000, part 1. The same notes, with one width for input and output.
# "view operartions transform hidden into num_heads heads each with head_size(self.head_size)"
# "Applies softmax with z as scores , dropout applies regulartixation"
# "the final reshape operation combines num_heads * head_size into hidden"
import torch
import torch.nn as nn


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, hidden, num_heads, dropout, causal):
        super().__init__()
        self.hidden = hidden
        self.num_heads = num_heads
        self.head_size = hidden // num_heads
        self.scale = self.head_size**0.5
        self.causal = causal
        self.q, self.k, self.v = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.softmax = nn.Softmax(dim=2)

    def split(self, z):
        bs, seq, _ = z.shape
        z = z.view(bs, seq, self.num_heads, self.head_size).transpose(1, 2)
        return z.reshape(bs * self.num_heads, seq, self.head_size)

    def forward(self, x):
        bs, seq, _ = x.size()
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        scores = torch.bmm(q, k.permute(0, 2, 1)) / self.scale
        if self.causal:
            mask = torch.triu(torch.ones(seq, seq), diagonal=1).bool().to(x.device)
            scores.masked_fill_(mask.unsqueeze(0), -float("inf"))
        z = self.softmax(scores)
        z = self.dropout(z)
        z = torch.bmm(z, v)
        z = z.reshape(bs, self.num_heads, seq, self.head_size).transpose(1, 2).reshape(bs, seq, self.hidden)
        z = self.mix(z)
        return z
