"""The MLP of a block as a module.

Paper: Attention Is All You Need, https://arxiv.org/abs/1706.03762, section 3.3.
"""

from torch import nn
from torch.nn import functional as F


class MLP(nn.Module):
    """(B, T, C) → (B, T, C): each position by itself, 4C numbers wide inside, with GELU, dropout at the end."""

    def __init__(self, hidden_size, dropout):
        super().__init__()
        # Two linear layers with biases, C → 4C and 4C → C; GELU (https://arxiv.org/abs/1606.08415); dropout.
        self.widen = nn.Linear(hidden_size, 4 * hidden_size)
        self.narrow = nn.Linear(4 * hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):  # (B, T, C)
        # 1. Widen: (B, T, 4C), then GELU.
        #    Question: what would two linear layers be without it?
        x = F.gelu(self.widen(x))  # (B, T, 4C)
        # 2. Narrow: (B, T, C), then dropout.
        return self.dropout(self.narrow(x))  # (B, T, C)
