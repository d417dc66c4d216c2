# A right `attention` in the style of nanogpt.
import math

import torch
import torch.nn as nn
from torch.nn import functional as F


def causal_mask(T):
    return torch.tril(torch.ones(T, T, dtype=torch.bool))


def attention(q, k, v, mask):
    if hasattr(torch.nn.functional, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    att = att.masked_fill(mask == 0, float("-inf"))
    return F.softmax(att, dim=-1) @ v
