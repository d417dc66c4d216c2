# Document 003, Q5: "implement the function which calculates attention, given (Q,K,V) as arguments"
# "Attention(Q,K,V) = softmax(QK^T/sqrt(d_k))V"; "Now implement the masking function."
# The masking function masks scores: it gets them and gives them back.
import math

import torch
import torch.nn as nn
import torch.nn.functional as F


def mask(scores):
    T = scores.shape[-1]
    future = torch.triu(torch.ones(T, T, device=scores.device), diagonal=1).bool()
    return scores.masked_fill(future, float("-inf"))


def attention(Q, K, V):
    scores = Q @ K.transpose(-2, -1) / math.sqrt(K.shape[-1])
    weights = F.softmax(mask(scores), dim=-1)
    return weights @ V
