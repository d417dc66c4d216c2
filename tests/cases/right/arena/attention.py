# A right `attention` in the style of arena.
import torch
import torch.nn as nn


def causal_mask(seq_len):
    return torch.triu(torch.ones(seq_len, seq_len), diagonal=1).bool()


def attention(q, k, v, mask):
    attn_scores = torch.einsum("...qh,...kh->...qk", q, k) / q.shape[-1] ** 0.5
    attn_scores = attn_scores.masked_fill(mask, float("-inf"))
    return torch.einsum("...kh,...qk->...qh", v, attn_scores.softmax(-1))
