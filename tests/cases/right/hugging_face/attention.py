# A right `attention` in the style of hugging_face.
import torch
import torch.nn as nn


def causal_mask(length):
    """0 where a query may look, the type's lowest number where not."""
    min_dtype = torch.finfo(torch.float32).min
    return torch.triu(torch.full((length, length), min_dtype), diagonal=1)


def attention(query, key, value, attention_mask):
    scaling = query.size(-1) ** -0.5
    attn_weights = torch.matmul(query, key.transpose(-2, -1)) * scaling
    attn_weights = attn_weights + attention_mask
    attn_weights = torch.nn.functional.softmax(attn_weights, dim=-1, dtype=torch.float32).to(query.dtype)
    return torch.matmul(attn_weights, value)
