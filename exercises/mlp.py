"""The MLP of a block as a module: yours to write.

The comments are the steps. B batch (in some courses N), T time, C width, H heads of size D.

Check it: python -m check mlp FILE; hints: python -m check mlp --hint 2
"""

from torch import nn
from torch.nn import functional as F


class MLP(nn.Module):
    """(B, T, C) → (B, T, C): each position by itself, 4C numbers wide inside, with GELU, dropout at the end."""

    def __init__(self, hidden_size, dropout):
        super().__init__()
        # Two linear layers with biases, C → 4C and 4C → C; GELU (https://arxiv.org/abs/1606.08415); dropout.
        raise NotImplementedError("write MLP.__init__")

    def forward(self, x):  # (B, T, C)
        # 1. Widen: (B, T, 4C), then GELU.
        #    Question: what would two linear layers be without it?
        # 2. Narrow: (B, T, C), then dropout.
        raise NotImplementedError("write MLP.forward")
