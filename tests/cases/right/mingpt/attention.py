# A right `attention` in the style of mingpt.
import math

import torch
import torch.nn as nn
from torch.nn import functional as F


def causal_mask(T):
    return torch.tril(torch.ones(T, T)).view(1, 1, T, T)


def attention(q, k, v, mask):
    att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
    att = att.masked_fill(mask.view(mask.shape[-2:]) == 0, float("-inf"))
    att = F.softmax(att, dim=-1)
    return att @ v
