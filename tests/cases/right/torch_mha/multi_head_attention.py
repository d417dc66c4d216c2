# A right `multi_head_attention` in the style of torch_mha.
import torch
import torch.nn as nn


class MultiHeadSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, dropout, causal=True):
        super().__init__()
        self.causal = causal
        self.mha = nn.MultiheadAttention(embed_dim, num_heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        T = x.size(1)
        mask = torch.triu(torch.ones(T, T, dtype=torch.bool, device=x.device), diagonal=1) if self.causal else None
        out, _ = self.mha(x, x, x, attn_mask=mask, need_weights=False)
        return self.dropout(out)
