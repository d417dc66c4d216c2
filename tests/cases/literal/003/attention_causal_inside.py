# Document 003, Q5: "implement the function which calculates attention, given (Q,K,V) as arguments"
# "Attention(Q,K,V) = softmax(QK^T/sqrt(d_k))V"; "Now implement the masking function."
# Exactly three arguments; attention calls the masking function itself: decoder only.
import math

import torch


def causal_mask(T):
    return torch.triu(torch.full((T, T), float("-inf")), diagonal=1)


def attention(Q, K, V):
    T = Q.shape[-2]
    scores = Q @ K.transpose(-2, -1) / math.sqrt(Q.shape[-1]) + causal_mask(T).to(Q.device)
    return scores.softmax(dim=-1) @ V
