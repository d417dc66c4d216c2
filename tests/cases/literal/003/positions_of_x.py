# Document 003, Q5: "Implement the positional embedding function first."
# The function gets the embedded tokens, and adds the positions.
import torch


def positional_embedding(x):
    B, T, C = x.shape
    pos = torch.arange(T, device=x.device)[:, None]
    i = torch.arange(0, C, 2, device=x.device)[None, :]
    angle = pos / torch.pow(10000, i / C)
    pe = torch.empty(T, C, device=x.device)
    pe[:, 0::2] = torch.sin(angle)
    pe[:, 1::2] = torch.cos(angle)
    return x + pe
