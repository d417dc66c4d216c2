"""Grouped queries (GQA): several query heads share a head of keys and values, so that task 8's cache is smaller.

Paper: https://arxiv.org/abs/2305.13245; with one head of keys and values it is multi-query attention,
https://arxiv.org/abs/1911.02150
"""

from dataclasses import dataclass

import task09_rope
from common.run import UserError, run
from task09_rope import attention, rotate
from variants import main

from torch import nn


@dataclass(frozen=True)
class Config(task09_rope.Config):
    n_kv_head: int = 1  # heads of keys and values; divides n_head


class SelfAttention(task09_rope.SelfAttention):
    """Task 9's, with fewer heads of keys and values than of queries."""

    def __init__(self, config):
        super().__init__(config)
        if config.n_head % config.n_kv_head:
            raise UserError(f"n_kv_head {config.n_kv_head} does not divide n_head {config.n_head}")
        D = config.n_embd // config.n_head
        self.counts = [config.n_head, config.n_kv_head, config.n_kv_head]  # of queries, keys, values
        self.qkv = nn.Linear(config.n_embd, sum(self.counts) * D, bias=False)  # rows: queries, keys, values

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, sum(self.counts), -1).transpose(1, 2)  # (B, H + 2K, T, D)
        q, k, v = heads.split(self.counts, dim=1)  # (B, H, T, D), (B, K, T, D) twice
        k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])
        k, v = (part.repeat_interleave(self.counts[0] // self.counts[1], dim=1) for part in (k, v))  # (B, H, T, D)
        x = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)  # (B, H, T, D)
        return self.dropout(self.projection(x.transpose(1, 2).reshape(B, T, C)))  # (B, T, C)


class GPT(task09_rope.GPT):
    """Task 9's, with another attention."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention = SelfAttention(config)


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT, Config))
