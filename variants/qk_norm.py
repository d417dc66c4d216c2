"""Queries and keys are normalized before they are turned and multiplied, so that scores cannot grow without limit.

RMSNorm divides each head's queries and keys by the root of the mean of their squares; a gain for each coordinate is
learnt, for queries and for keys. Scores are divided by √head_size.
Papers: https://arxiv.org/abs/2010.04245; with RMSNorm, https://arxiv.org/abs/2302.05442
"""

import task09_rope
from common.run import run
from task09_rope import Config, attention, rotate  # noqa: F401
from variants import main
from variants.rmsnorm import RMSNorm


class SelfAttention(task09_rope.SelfAttention):
    """Task 9's, with a norm for queries and one for keys, of each head by itself."""

    def __init__(self, config):
        super().__init__(config)
        D = config.n_embd // config.n_head
        self.query_norm = RMSNorm(D)
        self.key_norm = RMSNorm(D)
        self.scale = D**-0.5

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 3D)
        k, q, v = heads.chunk(3, dim=-1)  # (B, H, T, D) each
        k, q = self.key_norm(k), self.query_norm(q)  # (B, H, T, D) each
        k, q = rotate(k, self.angles[:T]), rotate(q, self.angles[:T])  # (B, H, T, D) each
        x = attention(q, k, v, self.mask[:T, :T], self.scale, self.dropout)  # (B, H, T, D)
        return self.dropout(self.projection(x.transpose(1, 2).reshape(B, T, C)))  # (B, T, C)


class GPT(task09_rope.GPT):
    """Task 9's, with another attention."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention = SelfAttention(config)


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT))
