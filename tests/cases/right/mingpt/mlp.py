# A right `mlp` in the style of mingpt.
import math

import torch
import torch.nn as nn


class NewGELU(nn.Module):
    """The paper's approximation of GELU by a tanh."""

    def forward(self, x):
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))


class MLP(nn.Module):
    def __init__(self, n_embd, dropout):
        super().__init__()
        self.mlp = nn.ModuleDict(
            dict(
                c_fc=nn.Linear(n_embd, 4 * n_embd),
                c_proj=nn.Linear(4 * n_embd, n_embd),
                act=NewGELU(),
                dropout=nn.Dropout(dropout),
            )
        )

    def forward(self, x):
        m = self.mlp
        return m.dropout(m.c_proj(m.act(m.c_fc(x))))
