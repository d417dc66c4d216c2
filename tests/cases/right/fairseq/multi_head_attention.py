import torch
from torch import nn
import torch.nn.functional as F
class MultiheadAttention(nn.Module):
    """in_proj_weight stored (in, 3 out) in the order key, value, query"""
    def __init__(self, embed_dim, num_heads, dropout=0.0):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.in_proj_weight = nn.Parameter(torch.randn(embed_dim, 3 * embed_dim) * 0.05)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dim))
        self.out_proj = nn.Linear(embed_dim, embed_dim)
    def forward(self, x):
        T, B, C = x.transpose(0, 1).shape
        k, v, q = (x.transpose(0, 1) @ self.in_proj_weight + self.in_proj_bias).chunk(3, -1)
        q, k, v = (t.reshape(T, B * self.num_heads, -1).transpose(0, 1) for t in (q, k, v))
        w = torch.bmm(q, k.transpose(1, 2)) * q.size(-1) ** -0.5 + torch.full((T, T), float('-inf')).triu(1)
        w = F.dropout(w.softmax(-1), self.dropout, self.training)
        return self.out_proj(torch.bmm(w, v).transpose(0, 1).reshape(T, B, C)).transpose(0, 1)
