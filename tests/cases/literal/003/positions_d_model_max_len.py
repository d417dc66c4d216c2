# Document 003, Q5: "Implement the positional embedding function first."
# Width first, then the longest length, by other names.
import math

import torch


def get_positional_encoding(d_model, max_len):
    position = torch.arange(max_len).float().unsqueeze(1)
    div_term = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
    pe = torch.zeros(max_len, d_model)
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe
