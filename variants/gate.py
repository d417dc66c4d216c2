"""A sigmoid gate after attention: each head's output, coordinate by coordinate, times a number from 0 to 1.

The gate is computed from the same input as queries, keys and values. A head that has nothing to say closes it, and need
not look at the first character instead.
Paper: https://arxiv.org/abs/2505.06708
"""

import task09_rope
from common.run import run
from task09_rope import Config, attention, rotate  # noqa: F401
from variants import main

from torch import nn


class SelfAttention(task09_rope.SelfAttention):
    """Task 9's, with a gate between the weighted values and the projection."""

    def __init__(self, config):
        super().__init__(config)
        projection = self.projection
        del self.projection
        self.gate = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.projection = projection  # again the last layer: its first weights are smaller (common/optim.py)

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 3D)
        k, q, v = heads.chunk(3, dim=-1)  # (B, H, T, D) each
        k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])  # (B, H, T, D) each
        y = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)  # (B, H, T, D)
        y = y.transpose(1, 2).reshape(B, T, C) * self.gate(x).sigmoid()  # (B, T, C)
        return self.dropout(self.projection(y))  # (B, T, C)


class GPT(task09_rope.GPT):
    """Task 9's, with another attention."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention = SelfAttention(config)


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT))
