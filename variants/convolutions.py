"""Short convolutions: each channel adds learnt shares of its values at the last three positions.

Attention must learn to look at the character before; a convolution need not. There is one on the embeddings and one
between each norm and its branch. The shares begin at zero.
Papers: Canon layers, https://arxiv.org/abs/2512.17351; Primer, https://arxiv.org/abs/2109.08668
"""

import task09_rope
from common.run import run
from task09_rope import Config  # noqa: F401
from variants import main

import torch
from torch import nn
from torch.nn import functional as F

BACK = 3  # positions


class ShortConvolution(nn.Module):
    """(B, T, C) → (B, T, C): each channel plus shares of its last positions; at first it changes nothing."""

    def __init__(self, n_embd):
        super().__init__()
        self.shares = nn.ParameterList(torch.zeros(n_embd) for _ in range(BACK))  # vectors: no decay, no Muon

    def forward(self, x):  # (B, T, C)
        T = x.shape[1]
        earlier = (F.pad(x, (0, 0, back, 0))[:, :T] for back in range(1, BACK + 1))  # (B, T, C) each, zeros at first
        return x + sum(share * shifted for share, shifted in zip(self.shares, earlier, strict=True))  # (B, T, C)


class GPT(task09_rope.GPT):
    """Task 9's, with convolutions."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        self.token_embedding = nn.Sequential(self.token_embedding, ShortConvolution(config.n_embd))
        for block in self.blocks:
            block.attention_norm = nn.Sequential(block.attention_norm, ShortConvolution(config.n_embd))
            block.feed_forward_norm = nn.Sequential(block.feed_forward_norm, ShortConvolution(config.n_embd))


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT))
