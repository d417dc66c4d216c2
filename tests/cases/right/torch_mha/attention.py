# A right `attention` in the style of torch_mha.
import torch
import torch.nn as nn


def causal_mask(T):
    return torch.nn.Transformer.generate_square_subsequent_mask(T)


def attention(q, k, v, mask):
    scores = torch.matmul(q * q.size(-1) ** -0.5, k.transpose(-2, -1)) + mask
    return torch.matmul(torch.softmax(scores, dim=-1), v)
