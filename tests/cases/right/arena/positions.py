# A right `positions` in the style of arena.
import torch
import torch.nn as nn


def sinusoidal_encoding(max_seq_len, embedding_dim):
    angles = torch.outer(torch.arange(max_seq_len), 1 / 10000 ** (torch.arange(0, embedding_dim, 2) / embedding_dim))
    array = torch.zeros((max_seq_len, embedding_dim))
    array[:, ::2] = torch.sin(angles)
    array[:, 1::2] = torch.cos(angles)
    return array
