# A right `multi_head_attention` in the style of arena.
import torch
import torch.nn as nn


class Attention(nn.Module):
    def __init__(self, d_model, n_heads, dropout, causal=True):
        super().__init__()
        d_head = d_model // n_heads
        self.d_head, self.causal = d_head, causal
        self.W_Q = nn.Parameter(torch.empty((n_heads, d_model, d_head)))
        self.W_K = nn.Parameter(torch.empty((n_heads, d_model, d_head)))
        self.W_V = nn.Parameter(torch.empty((n_heads, d_model, d_head)))
        self.W_O = nn.Parameter(torch.empty((n_heads, d_head, d_model)))
        self.b_Q = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_K = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_V = nn.Parameter(torch.zeros((n_heads, d_head)))
        self.b_O = nn.Parameter(torch.zeros(d_model))
        for weight in (self.W_Q, self.W_K, self.W_V, self.W_O):
            nn.init.normal_(weight, std=0.02)
        self.dropout_pattern = nn.Dropout(dropout)
        self.dropout_out = nn.Dropout(dropout)
        self.register_buffer("IGNORE", torch.tensor(float("-inf")))

    def forward(self, normalized_resid_pre):
        q = torch.einsum("bpm,nmh->bpnh", normalized_resid_pre, self.W_Q) + self.b_Q
        k = torch.einsum("bpm,nmh->bpnh", normalized_resid_pre, self.W_K) + self.b_K
        v = torch.einsum("bpm,nmh->bpnh", normalized_resid_pre, self.W_V) + self.b_V
        attn_scores = torch.einsum("bqnh,bknh->bnqk", q, k) / self.d_head**0.5
        if self.causal:
            attn_scores = self.apply_causal_mask(attn_scores)
        attn_pattern = self.dropout_pattern(attn_scores.softmax(-1))
        z = torch.einsum("bknh,bnqk->bqnh", v, attn_pattern)
        attn_out = torch.einsum("bqnh,nhm->bqm", z, self.W_O) + self.b_O
        return self.dropout_out(attn_out)

    def apply_causal_mask(self, attn_scores):
        all_ones = torch.ones(attn_scores.size(-2), attn_scores.size(-1), device=attn_scores.device)
        mask = torch.triu(all_ones, diagonal=1).bool()
        return attn_scores.masked_fill(mask, self.IGNORE)
