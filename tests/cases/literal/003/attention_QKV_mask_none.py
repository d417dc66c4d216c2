# Document 003, Q5: "implement the function which calculates attention, given (Q,K,V) as arguments"
# "Attention(Q,K,V) = softmax(QK^T/sqrt(d_k))V"; "Now implement the masking function."
# The mask is a fourth argument, of a function mask(T).
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def attention(Q, K, V, mask=None):
    d_k = Q.size(-1)
    scores = Q @ K.transpose(-2, -1) / math.sqrt(d_k)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, float("-inf"))
    return F.softmax(scores, dim=-1) @ V


def mask(T):
    return torch.tril(torch.ones(T, T)).bool()
