"""Dropout whose random numbers come cheaper on a CPU: a byte for each element instead of a Bernoulli draw."""

import torch
from torch import nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """As `nn.Dropout`: in training, zero a fraction `p` of the elements and scale up the rest (Srivastava et al. 2014).

    On a CPU, PyTorch draws each element's fate on one thread, which takes a large part of a training step.
    Here a random 64-bit number decides eight of them, with `p` rounded to a multiple of 1/256.
    Raises ValueError for a `p` outside 0 ≤ p < 1.
    """

    def __init__(self, p: float):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout: expected 0 ≤ p < 1, got {p}")
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape → the same shape."""
        if not self.training or not self.p:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        dropped = min(max(round(self.p * 256), 1), 255)  # of 256
        numbers = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        kept = (numbers.view(torch.uint8)[: x.numel()] >= dropped).view(x.shape)
        return torch.where(kept, x * (256 / (256 - dropped)), 0.0)
