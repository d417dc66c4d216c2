# A right `mlp` in the style of ng_video_lecture.
import torch.nn as nn


class FeedFoward(nn.Module):
    """Two linear layers with something that is not linear between them."""

    def __init__(self, n_embd, dropout):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(n_embd, 4 * n_embd),
            nn.GELU(),
            nn.Linear(4 * n_embd, n_embd),
            nn.Dropout(dropout),
        )

    def forward(self, x):
        return self.net(x)
