"""Value residual: from the second block on, values are a mix of the block's own and the first block's.

The first block's values know each character best. The share of each is learnt; it begins at one half.
Paper: https://arxiv.org/abs/2410.17897
"""

import task09_rope
from common.run import run
from task09_rope import Config, attention, rotate  # noqa: F401
from variants import main

import torch
from torch import nn


class SelfAttention(task09_rope.SelfAttention):
    """Task 9's; takes the first block's values (B, H, T, D) and their share, and returns those values, too."""

    def forward(self, x, first=None, share=0.0):  # (B, T, C)
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 3D)
        k, q, v = heads.chunk(3, dim=-1)  # (B, H, T, D) each
        first = v if first is None else first
        v = share * first + (1 - share) * v  # (B, H, T, D)
        k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])  # (B, H, T, D) each
        x = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)  # (B, H, T, D)
        return self.dropout(self.projection(x.transpose(1, 2).reshape(B, T, C))), first  # (B, T, C), (B, H, T, D)


class GPT(task09_rope.GPT):
    """Task 9's; the first block's values go through all blocks."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention = SelfAttention(config)
        self.shares = nn.Parameter(torch.full((config.n_layer - 1,), 0.5))  # of the second block and on

    def forward(self, tokens):  # (B, T)
        x, first = self.token_embedding(tokens), None  # (B, T, C)
        for block, share in zip(self.blocks, [0.0, *self.shares], strict=True):
            heard, first = block.attention(block.attention_norm(x), first, share)  # (B, T, C), (B, H, T, D)
            x = x + heard  # (B, T, C)
            x = x + block.feed_forward(block.feed_forward_norm(x))  # (B, T, C)
        return self.lm_head(self.final_norm(x))  # (B, T, V)


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT))
