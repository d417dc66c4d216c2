# Document 003, Q5: "Implement the positional embedding function first."
# All sines first, then all cosines.
import torch


def positional_embedding(T, C):
    frequencies = 10000.0 ** (-torch.arange(C // 2) * 2 / C)
    angles = torch.outer(torch.arange(T), frequencies)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
