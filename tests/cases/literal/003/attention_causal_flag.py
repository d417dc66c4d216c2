# Document 003, Q5: "implement the function which calculates attention, given (Q,K,V) as arguments"
# "Attention(Q,K,V) = softmax(QK^T/sqrt(d_k))V"; "Now implement the masking function."
# A switch: attention(Q, K, V, masked).
import torch


def masking(scores):
    return scores + torch.triu(torch.full_like(scores, float("-inf")), diagonal=1)


def attention(Q, K, V, masked=True):
    scores = Q.matmul(K.mT) / K.size(-1) ** 0.5
    if masked:
        scores = masking(scores)
    return scores.softmax(-1).matmul(V)
