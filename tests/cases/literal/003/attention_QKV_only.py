# Document 003, Q5: "implement the function which calculates attention, given (Q,K,V) as arguments"
# "Attention(Q,K,V) = softmax(QK^T/sqrt(d_k))V"; "Now implement the masking function."
# Exactly three arguments: no mask in attention yet; the masking function gives one for later.
import torch


def attention(Q, K, V):
    d_k = K.shape[-1]
    weights = torch.softmax(torch.matmul(Q, K.transpose(-2, -1)) / d_k**0.5, dim=-1)
    return torch.matmul(weights, V)


def mask(T):
    return torch.tril(torch.ones(T, T)).bool()
