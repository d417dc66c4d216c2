"""ALiBi: scores are lowered in proportion to the distance, and nothing else says where a character is.

Head h of H subtracts 2^(-8h/H) for each character between query and key, h from 1 to H. There are no angles and no
table, so a model can read texts that are longer than those it was trained on.
Paper: https://arxiv.org/abs/2108.12409
"""

import task07
import task09_rope
from common.run import run
from task09_rope import Config, causal_mask  # noqa: F401
from variants import main

import torch
from torch.nn import functional as F


def distances(T, n_head):
    """(H, T, T): what is added to the score of a query (row) and a key (column); -inf for later keys."""
    slopes = 2.0 ** (-8 * torch.arange(1, n_head + 1) / n_head)  # (H)
    behind = torch.arange(T)[:, None] - torch.arange(T)  # (T, T)
    return torch.where(causal_mask(T), -slopes[:, None, None] * behind, float("-inf"))  # (H, T, T)


def attention(q, k, v, bias, scale, dropout):
    """As in task 9, with a bias (H, T, T) that is added to the scores."""
    scores = q @ k.transpose(-2, -1) * scale + bias  # (B, H, T, T)
    weights = dropout(F.softmax(scores, dim=-1))  # (B, H, T, T), each row sums to 1
    return weights @ v  # (B, H, T, D)


class SelfAttention(task07.SelfAttention):
    """Task 7's, with distances in place of the mask."""

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("bias", distances(config.block_size, config.n_head), persistent=False)

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        heads = self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 3D)
        k, q, v = heads.chunk(3, dim=-1)  # (B, H, T, D) each
        x = attention(q, k, v, self.bias[:, :T, :T], self.scale, self.dropout)  # (B, H, T, D)
        return self.dropout(self.projection(x.transpose(1, 2).reshape(B, T, C)))  # (B, T, C)


class GPT(task09_rope.GPT):
    """Task 9's, with another attention."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention = SelfAttention(config)


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT))
