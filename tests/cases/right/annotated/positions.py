"""Sinusoids as a layer that is told a dropout, and has a table for many positions."""

import math

import torch
from torch import nn


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, dropout, max_len=2000):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        steps = torch.arange(max_len, dtype=torch.float).unsqueeze(1)
        speeds = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        table = torch.zeros(1, max_len, d_model)
        table[0, :, 0::2] = torch.sin(steps * speeds)
        table[0, :, 1::2] = torch.cos(steps * speeds)
        self.register_buffer("pe", table)

    def forward(self, x):
        return self.dropout(x + self.pe[:, : x.size(1)].requires_grad_(False))
