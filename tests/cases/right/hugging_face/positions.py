# A right `positions` in the style of hugging_face.
import torch
import torch.nn as nn


def create_sinusoidal_embeddings(n_pos, dim):
    out = torch.empty(n_pos, dim)
    position_enc = torch.tensor([[pos / 10000 ** (2 * (j // 2) / dim) for j in range(dim)] for pos in range(n_pos)])
    out[:, 0 : dim // 2] = torch.sin(position_enc[:, 0::2])
    out[:, dim // 2 :] = torch.cos(position_enc[:, 1::2])
    return out
