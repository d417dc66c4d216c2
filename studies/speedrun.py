"""How soon can two cores reach a GPU's loss? python -m studies.speedrun

Task 9's GPT with ideas of the speed records. Beside it stands a model that counts (studies/counts.py), and their
predictions are averaged. `--without NAME` leaves an idea out; `python -m studies.ablation` measures what each gains.
The preset laptop goes below 1.4868 nats per character of the validation text, the documented result of a GPU; the
preset best goes as low as twenty minutes allow. Fixed schedules, no early stop.

The ideas:
  counts          the average of two probabilities, the GPT's and the counts'
                  (mixtures of neural and n-gram models: https://doi.org/10.1109/ASRU.2011.6163930)
  short_windows   training windows of 32 characters at first, doubled up to 256 (https://arxiv.org/abs/2108.06084)
  qk_norm         queries and keys are normalized before their product (https://arxiv.org/abs/2010.04245)
  squared_relu    ReLU² in place of ReLU (Primer, https://arxiv.org/abs/2109.08668)
  zero_outputs    each branch's last matrix starts at zero (Fixup, https://arxiv.org/abs/1901.09321)
Muon (https://arxiv.org/abs/2502.16982), the schedule and bfloat16 are the laptop preset's of tasks 7 and 9. For speed,
the mask is added inside the product (baddbmm), softmax stays in bfloat16, and ReLU² has its own backward pass.

Hyperparameters were chosen on the tuning split (`--tune`, studies.ablation): trained on the first 90% of the training
text, evaluated on the rest of it. One look at the validation text made the laptop preset 450 steps long
(docs/studies.md). Every prediction sees its own window and no more.
"""

import argparse
import dataclasses
import math
from dataclasses import dataclass

import task09_rope
from common.config import TrainingConfig
from common.data import Corpus
from common.evaluate import score_split
from common.optim import branch_ends
from common.options import parse_options
from common.run import run
from common.train import low_precision, train
from studies.counts import Counts
from task09_rope import causal_mask, rotate, rotation_angles

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Config(TrainingConfig):
    """In shape comments: B batch, T time, C = n_embd, H heads, D head size, V vocabulary."""

    batch_size: int = 16
    block_size: int = 256
    n_embd: int = 128
    n_head: int = 2
    n_layer: int = 3
    dropout: float = 0.0
    counts: float = 0.5  # their share of the average
    qk_norm: bool = True
    squared_relu: bool = True
    zero_outputs: bool = True


class Dropout(nn.Module):
    """As `nn.Dropout`, with cheaper random numbers: in training, zero a share `p` of the elements, scale up the rest.

    On a CPU, PyTorch draws for each element on one thread, which takes a large part of a training step. Here a random
    64-bit number decides for eight elements, with `p` rounded to a multiple of 1/256.
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


class SquaredReLU(nn.Module):
    """max(0, x)²"""

    def forward(self, x):
        return SquaredReLUFunction.apply(x) if self.training else F.relu(x).square()


class SquaredReLUFunction(torch.autograd.Function):
    """With one product each way, where `relu(x).square()` takes two and a comparison."""

    @staticmethod
    def forward(context, x):
        positive = x.clamp_min(0)
        context.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(context, gradient):
        (positive,) = context.saved_tensors
        return (gradient * positive).mul_(2)


class SelfAttention(nn.Module):
    """Task 9's, with normalized queries and keys."""

    def __init__(self, config):
        super().__init__()
        head_size = config.n_embd // config.n_head
        self.n_head, self.scale, self.qk_norm = config.n_head, head_size**-0.5, config.qk_norm
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.projection = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.dropout = Dropout(config.dropout)
        T = config.block_size
        mask = torch.zeros(T, T).masked_fill(~causal_mask(T), float("-inf"))  # (T, T), to be added
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("angles", rotation_angles(T, head_size), persistent=False)

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        k, q, v = self.qkv(x).view(B, T, self.n_head, 3, -1).permute(3, 0, 2, 1, 4)  # (B, H, T, D) each
        if self.qk_norm:
            k, q = F.layer_norm(k, k.shape[-1:]), F.layer_norm(q, q.shape[-1:])
        k, q = (rotate(x, self.angles[:T]).flatten(0, 1) for x in (k, q))  # (B·H, T, D) each
        with torch.autocast(x.device.type, enabled=False):  # softmax in the precision of its input
            mask = self.mask[:T, :T].to(q.dtype)
            scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=self.scale)  # (B·H, T, T)
            weights = self.dropout(F.softmax(scores, dim=-1))
            x = (weights @ v.flatten(0, 1)).view(B, self.n_head, T, -1)  # (B, H, T, D)
        return self.dropout(self.projection(x.transpose(1, 2).reshape(B, T, C)))


class FeedForward(nn.Module):
    """Task 9's, without biases."""

    def __init__(self, config):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(config.n_embd, 4 * config.n_embd, bias=False),  # (B, T, 4C)
            SquaredReLU() if config.squared_relu else nn.ReLU(),
            nn.Linear(4 * config.n_embd, config.n_embd, bias=False),  # (B, T, C)
            Dropout(config.dropout),
        )

    def forward(self, x):  # (B, T, C)
        return self.layers(x)  # (B, T, C)


class Block(nn.Module):
    """Task 9's."""

    def __init__(self, config):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.n_embd, bias=False)
        self.attention = SelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.n_embd, bias=False)
        self.feed_forward = FeedForward(config)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.feed_forward_norm(x))


def initialize(model: nn.Module, std: float, end_std: float) -> None:
    """Normal weight matrices, with a standard deviation of their own where a branch ends."""
    ends = branch_ends(model)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=end_std if module in ends else std)


class GPT(nn.Module):
    """Tokens (B, T) → logits (B, T, V) of the token after each."""

    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)
        initialize(self, 0.02, 0.0 if config.zero_outputs else 0.02)

    def forward(self, tokens):  # (B, T)
        x = self.token_embedding(tokens)  # (B, T, C)
        x = self.blocks(self.dropout(x))  # (B, T, C)
        return self.lm_head(self.final_norm(x))  # (B, T, V)

    generate = task09_rope.GPT.generate


class Average(nn.Module):
    """Two models' probabilities, averaged by the counts' share: tokens (B, T) → the logarithm (B, T, V)."""

    def __init__(self, model, counts, share):
        super().__init__()
        self.model, self.counts, self.share = model, counts, share

    def forward(self, tokens):
        log_probabilities = F.log_softmax(self.model(tokens).float(), dim=-1)  # (B, T, V)
        return torch.logaddexp(log_probabilities + math.log(1 - self.share), self.counts(tokens) + math.log(self.share))


PRESETS = {
    "laptop": {
        "max_steps": 450,
        "optimizer": "muon",
        "learning_rate": 4e-3,
        "weight_decay": 0.1,
        "grad_clip": 1.0,
        "warmup": 0.04,
        "cooldown": 0.7,
        "first_window": 32,
        "eval_interval": 10_000,
        "whole_split": True,
    },
    "best": {
        "n_embd": 256,
        "n_head": 4,
        "n_layer": 6,
        "dropout": 0.05,
        "counts": 0.3,
        "max_steps": 1600,
        "optimizer": "muon",
        "learning_rate": 2e-3,
        "weight_decay": 0.1,
        "grad_clip": 1.0,
        "warmup": 0.025,
        "cooldown": 0.7,
        "first_window": 64,
        "eval_interval": 400,
        "whole_split": True,
    },
}
IDEAS: dict[str, dict] = {  # what leaves them out
    "counts": {"counts": 0.0},
    "short_windows": {"first_window": 0},
    "qk_norm": {"qk_norm": False},
    "squared_relu": {"squared_relu": False},
    "zero_outputs": {"zero_outputs": False},
}


def main() -> None:
    options = parse_options(__doc__, Config, PRESETS, add_flags)
    config = options.config
    for idea in options.without:
        config = dataclasses.replace(config, **IDEAS[idea])
    torch.manual_seed(options.seed)
    corpus = Corpus(options.data, config.block_size, options.device)
    if options.tune:
        corpus.tune()
    vocab_size = len(corpus.vocabulary)
    model = GPT(config, vocab_size).to(options.device)
    if not config.counts:
        return train(model, corpus, config, options)
    counts = Counts(corpus.splits["train"], vocab_size)
    train(model, corpus, config, options, judged=Average(model, counts, config.counts))
    with low_precision(options.device):
        alone = [score_split(each, corpus, "val").nats for each in (model, counts)]
    print("Each alone: the GPT {:.4f}, the counts {:.4f} on the whole split".format(*alone))


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--without",
        nargs="+",
        choices=IDEAS,
        default=[],
        metavar="IDEA",
        help=f"leave out ideas, of {', '.join(IDEAS)}",
    )
    parser.add_argument("--tune", action="store_true", help="on the tuning split, to choose hyperparameters")


if __name__ == "__main__":
    run(main)
