# A right `attention` in the style of llms_from_scratch.
import torch
import torch.nn as nn


def causal_mask(context_length):
    return torch.triu(torch.ones(context_length, context_length), diagonal=1)


def attention(queries, keys, values, mask):
    attn_scores = queries @ keys.transpose(-2, -1)
    attn_scores.masked_fill_(mask.bool(), -torch.inf)
    attn_weights = torch.softmax(attn_scores / keys.shape[-1] ** 0.5, dim=-1)
    return attn_weights @ values
