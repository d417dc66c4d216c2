"""SwiGLU, an MLP in which one product gates another; or ReLU², task 9's MLP with another activation (--preset relu2).

Three matrices take the place of two. They are 8/3 n_embd wide, so that there are as many numbers as in task 9.
Papers: https://arxiv.org/abs/2002.05202; ReLU² is from Primer, https://arxiv.org/abs/2109.08668
"""

from dataclasses import dataclass

import task09_rope
from common.config import LAPTOP, PRESETS
from common.run import run
from variants import main

from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config(task09_rope.Config):
    activation: str = "swiglu"  # or "relu2"


class SwiGLU(nn.Module):
    """Each position by itself: two layers widen, the SiLU of one times the other, narrow."""

    def __init__(self, config):
        super().__init__()
        width = 8 * config.n_embd // 3
        self.gate = nn.Linear(config.n_embd, width, bias=False)  # (B, T, 8C/3)
        self.widen = nn.Linear(config.n_embd, width, bias=False)  # (B, T, 8C/3)
        self.narrow = nn.Linear(width, config.n_embd, bias=False)  # (B, T, C)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):  # (B, T, C)
        return self.dropout(self.narrow(F.silu(self.gate(x)) * self.widen(x)))  # (B, T, C)


class SquaredReLU(nn.Module):
    def forward(self, x):
        return F.relu(x).square()


class GPT(task09_rope.GPT):
    """Task 9's, with another MLP."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            if config.activation == "swiglu":
                block.feed_forward = SwiGLU(config)
            else:
                block.feed_forward.layers[1] = SquaredReLU()


if __name__ == "__main__":
    presets = PRESETS | {"relu2": LAPTOP | {"activation": "relu2"}}
    model = run(lambda: main(__doc__, GPT, Config, presets))
