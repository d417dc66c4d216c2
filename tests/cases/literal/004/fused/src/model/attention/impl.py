# Document 004, week 1: one layer for queries, keys and values; nn.Softmax as the document links it; a mask made once.
# "Generate queries, keys, and values for all heads"
# "How do we use `torch.bmm` for batch matrix multiplication?"
# "Apply softmax to normalize the scores"
import torch
from torch import nn


class CausalMultiHeadAttention(nn.Module):
    def __init__(self, d_model: int, n_heads: int, max_seq_len: int = 1024):
        super().__init__()
        self.n_heads = n_heads
        self.d_head = d_model // n_heads
        self.qkv_proj = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        self.softmax = nn.Softmax(dim=-1)
        self.register_buffer("mask", torch.tril(torch.ones(max_seq_len, max_seq_len)) == 0)

    def forward(self, x):
        b, t, c = x.size()
        # 1.
        qkv = self.qkv_proj(x)
        # 2. (3, b, h, t, d)
        qkv = qkv.reshape(b, t, 3, self.n_heads, self.d_head).permute(2, 0, 3, 1, 4)
        # 3. (3, b * h, t, d)
        q, k, v = qkv.reshape(3, b * self.n_heads, t, self.d_head).unbind(0)
        # 4.
        scores = torch.bmm(q, k.mT) * self.d_head**-0.5
        # 5.
        scores[:, self.mask[:t, :t]] = float("-inf")
        # 6.
        attention = self.softmax(scores)
        # 7.
        out = torch.bmm(attention, v)
        # 8.
        out = torch.cat(out.reshape(b, self.n_heads, t, self.d_head).unbind(1), dim=-1)
        return self.out_proj(out)
