# A right `attention` in the style of ng_video_lecture.
import torch
import torch.nn as nn
from torch.nn import functional as F


def causal_mask(T):
    return torch.tril(torch.ones(T, T))


def attention(q, k, v, mask):
    wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5
    wei = wei.masked_fill(mask == 0, float("-inf"))
    wei = F.softmax(wei, dim=-1)
    return wei @ v
