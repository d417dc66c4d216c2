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
        self.qkv = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)  # rows: key, query, value, gate of each head

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 4D)
        k, q, v, gate = heads.chunk(4, dim=-1)  # (B, H, T, D) each
        k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])  # (B, H, T, D) each
        x = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)  # (B, H, T, D)
        x = x * gate.sigmoid()  # (B, H, T, D)
        return self.dropout(self.projection(x.transpose(1, 2).reshape(B, T, C)))  # (B, T, C)


class GPT(task09_rope.GPT):
    """Task 9's, with another attention."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention = SelfAttention(config)


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT))
