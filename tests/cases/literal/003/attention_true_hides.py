# Document 003, Q5: "implement the function which calculates attention, given (Q,K,V) as arguments"
# "Attention(Q,K,V) = softmax(QK^T/sqrt(d_k))V"; "Now implement the masking function."
# True where a query may not look; the weights are handed out, too.
import math

import torch


def create_mask(size):
    return torch.triu(torch.ones(size, size, dtype=torch.bool), diagonal=1)


def scaled_dot_product_attention(Q, K, V, mask):
    scores = torch.einsum("...td,...sd->...ts", Q, K) / math.sqrt(K.shape[-1])
    scores = scores.masked_fill(mask, -1e9)
    weights = torch.softmax(scores, dim=-1)
    return torch.einsum("...ts,...sd->...td", weights, V), weights
