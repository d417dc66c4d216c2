# A right `positions` in the style of fairseq.
import math

import torch
import torch.nn as nn


def get_embedding(num_embeddings, embedding_dim):
    """Halves, and speeds that reach 1/10,000 at the last pair."""
    half_dim = embedding_dim // 2
    emb = math.log(10000) / (half_dim - 1)
    emb = torch.exp(torch.arange(half_dim, dtype=torch.float) * -emb)
    emb = torch.arange(num_embeddings, dtype=torch.float).unsqueeze(1) * emb.unsqueeze(0)
    return torch.cat([torch.sin(emb), torch.cos(emb)], dim=1).view(num_embeddings, -1)
