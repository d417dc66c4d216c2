# A right `mlp` in the style of torch_mha.
import torch.nn as nn


class FeedForward(nn.Sequential):
    def __init__(self, embed_dim, dropout):
        super().__init__(
            nn.Linear(embed_dim, embed_dim * 4),
            nn.GELU(),
            nn.Linear(embed_dim * 4, embed_dim),
            nn.Dropout(dropout),
        )
