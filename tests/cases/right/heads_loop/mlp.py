# A right `mlp` in the style of heads_loop.
import torch.nn as nn


class MLP(nn.Module):
    def __init__(self, hidden_size, dropout):
        super().__init__()
        self.layer1 = nn.Linear(hidden_size, hidden_size * 4)
        self.activation = nn.GELU()
        self.layer2 = nn.Linear(hidden_size * 4, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.layer1(x)
        x = self.activation(x)
        x = self.layer2(x)
        x = self.dropout(x)
        return x
