# Document 003, Q5: "Implement the positional embedding function first."
# With an axis for the batch in front, to be added to (B, T, C_2).
import math

import torch


def positional_embedding(T, C):
    position = torch.arange(T).float().unsqueeze(1)
    div_term = torch.exp(torch.arange(0, C, 2).float() * (-math.log(10000.0) / C))
    pe = torch.zeros(T, C)
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe.unsqueeze(0)
