"""RMSNorm in place of LayerNorm, and no biases.

A vector is divided by the root of the mean of its squares. Its mean is not subtracted, and nothing is added.
Paper: https://arxiv.org/abs/1910.07467; used in LLaMA, https://arxiv.org/abs/2302.13971
"""

import task09_rope
from common.run import run
from task09_rope import Config  # noqa: F401
from variants import main

import torch
from torch import nn

EPS = 1e-5  # as in LayerNorm


class RMSNorm(nn.Module):
    """Each vector (…, C) at root mean square 1, times a learnt gain for each coordinate."""

    def __init__(self, n_embd):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(n_embd))  # (C)

    def forward(self, x):  # (…, C)
        return self.gain * x * (x.square().mean(dim=-1, keepdim=True) + EPS).rsqrt()  # (…, C)


class GPT(task09_rope.GPT):
    """Task 9's, with other norms and without biases."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention_norm = RMSNorm(config.n_embd)
            block.feed_forward_norm = RMSNorm(config.n_embd)
        self.final_norm = RMSNorm(config.n_embd)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                layer.bias = None


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT))
