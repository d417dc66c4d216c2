"""Sinusoids added to vectors whose first axis is time, as nn.MultiheadAttention has them without batch_first."""

import math

import torch
from torch import Tensor, nn


class PositionalEncoding(nn.Module):
    def __init__(self, d_model: int, dropout: float = 0.1, max_len: int = 4000):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        t = torch.arange(max_len).unsqueeze(1)
        w = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(t * w)
        pe[:, 0, 1::2] = torch.cos(t * w)
        self.register_buffer("pe", pe)

    def forward(self, x: Tensor) -> Tensor:
        """x: (T, B, C)"""
        x = x + self.pe[: x.size(0)]
        return self.dropout(x)
