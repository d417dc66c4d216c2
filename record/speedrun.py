"""How soon can a GPT on two cores reach a GPU's loss? python -m record.speedrun

Task 9's GPT with ideas of the speed records. `--without NAME` leaves one out; `python -m record.ablation` measures
what each gains. The preset laptop goes below 1.4868 nats per character of the validation text, the documented result of
a GPU, in about a minute; the preset hour gets the lowest loss of a single GPT here. Schedules are fixed, and no run
stops early. Every prediction sees only its own window.

The ideas:
  convolutions    short causal convolutions, one on the embeddings and one after each norm
                  (Canon layers, https://arxiv.org/abs/2512.17351; Primer, https://arxiv.org/abs/2109.08668)
  passes          windows side by side in a random order, so that every position comes once a pass
  short_windows   training windows of 32 characters at first, doubled up to 256 (https://arxiv.org/abs/2108.06084)
  qk_norm         queries and keys are normalized before their product (https://arxiv.org/abs/2010.04245)
  squared_relu    ReLU² in place of ReLU (Primer)
  zero_outputs    each branch's last matrix starts at zero (Fixup, https://arxiv.org/abs/1901.09321)
Muon (https://arxiv.org/abs/2502.16982), the schedule and bfloat16 are the laptop preset's of tasks 7 and 9. For speed,
the mask is added inside the product (baddbmm), softmax stays in bfloat16, and the convolutions and ReLU² have their own
backward passes. Hyperparameters were chosen on the tuning split (`--tune`), the last tenth of the training text.
"""

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import task09_rope
from common.config import TrainingConfig
from common.data import Corpus
from common.optim import branch_ends
from common.options import parse_options
from common.run import run
from common.train import train
from task09_rope import causal_mask, rotate, rotation_angles

import torch
from torch import nn
from torch.nn import functional as F

BACK = 3  # positions that a short convolution looks back


@dataclass(frozen=True)
class Config(TrainingConfig):
    """In shape comments: B batch, T time, C = n_embd, H heads, D head size, V vocabulary."""

    batch_size: int = 16
    block_size: int = 256
    n_embd: int = 128
    n_head: int = 2
    n_layer: int = 3
    dropout: float = 0.0
    convolutions: bool = True
    passes: bool = True
    qk_norm: bool = True
    squared_relu: bool = True
    zero_outputs: bool = True


class Dropout(nn.Module):
    """As `nn.Dropout`, with cheaper random numbers: in training, zero a share `p` of the elements, scale up the rest.

    On a CPU, PyTorch draws for each element on one thread, which takes a large part of a training step. Here a random
    64-bit number decides for eight elements, with `p` rounded to a multiple of 1/256. Raises ValueError for another p.
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


class ShortConvolution(nn.Module):
    """(B, T, C) → (B, T, C): to each channel, learnt shares of its last positions are added; at first they are zero."""

    def __init__(self, n_embd: int):
        super().__init__()
        self.kernel = nn.ParameterList(torch.zeros(n_embd) for _ in range(BACK))  # vectors: no weight decay, no Muon

    def forward(self, x):
        return ShortConvolutionFunction.apply(x, *self.kernel)


class ShortConvolutionFunction(torch.autograd.Function):
    """In place, which takes a quarter of the time of shifted copies."""

    @staticmethod
    def forward(context, x, *shares):
        context.save_for_backward(x, *shares)
        y = x.clone()
        for back, share in enumerate(shares, 1):
            y[:, back:].addcmul_(x[:, :-back], share.to(x.dtype))
        return y

    @staticmethod
    def backward(context, gradient):
        x, *shares = context.saved_tensors
        of_x, of_shares = gradient.clone(), []
        for back, share in enumerate(shares, 1):
            of_x[:, :-back].addcmul_(gradient[:, back:], share.to(gradient.dtype))
            of_shares.append((gradient[:, back:] * x[:, :-back]).sum((0, 1)).to(share.dtype))
        return of_x, *of_shares


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


def norm(config):
    """LayerNorm, with a convolution after it."""
    layer = nn.LayerNorm(config.n_embd, bias=False)
    return nn.Sequential(layer, ShortConvolution(config.n_embd)) if config.convolutions else layer


class Block(nn.Module):
    """Task 9's."""

    def __init__(self, config):
        super().__init__()
        self.attention_norm = norm(config)
        self.attention = SelfAttention(config)
        self.feed_forward_norm = norm(config)
        self.feed_forward = FeedForward(config)

    forward = task09_rope.Block.forward


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
        self.convolution = ShortConvolution(config.n_embd) if config.convolutions else nn.Identity()
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.final_norm = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, vocab_size)
        initialize(self, 0.02, 0.0 if config.zero_outputs else 0.02)

    def forward(self, tokens):  # (B, T)
        x = self.convolution(self.token_embedding(tokens))  # (B, T, C)
        x = self.blocks(self.dropout(x))  # (B, T, C)
        return self.lm_head(self.final_norm(x))  # (B, T, V)

    generate = task09_rope.GPT.generate


class Passes(Corpus):
    """Training windows that do not overlap, in a random order; each pass through the text begins at another offset.

    The order depends on torch's seed alone.
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.generator = torch.Generator().manual_seed(torch.initial_seed())
        self.starts = torch.tensor([], dtype=torch.long)  # of all windows that the passes so far hold
        self.taken = 0

    def next_batch(self, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The next windows of the passes. Evaluations draw random ones, as in `Tokens`, and take none of these."""
        tokens, T = self.splits["train"], self.block_size
        self.taken += batch_size
        while len(self.starts) < self.taken:
            offset = int(torch.randint(T, (), generator=self.generator))
            starts = torch.arange(offset, len(tokens) - T, T)
            order = torch.randperm(len(starts), generator=self.generator)
            self.starts = torch.cat([self.starts, starts[order]])
        return self.windows(tokens, self.starts[self.taken - batch_size : self.taken].to(tokens.device))

    def skip(self, windows: int) -> None:
        """Go on as after that many windows."""
        self.taken += windows


SHARED = {"optimizer": "muon", "weight_decay": 0.1, "grad_clip": 1.0, "cooldown": 0.9, "whole_split": True}
LAPTOP = {"max_steps": 850, "learning_rate": 1e-2, "warmup": 0.04, "first_window": 32, "eval_interval": 0}
LAPTOP |= {"squared_relu": False}  # slower, and no gain in the ablation
HOUR = {"max_steps": 5200, "learning_rate": 5e-3, "warmup": 0.025, "first_window": 64, "eval_interval": 1300}
HOUR |= {"n_embd": 256, "n_head": 4, "n_layer": 6, "dropout": 0.1, "weight_decay": 0.8}
PRESETS = {"laptop": SHARED | LAPTOP, "hour": SHARED | HOUR}
IDEAS: dict[str, dict] = {  # what leaves them out
    idea: {"first_window": 0} if idea == "short_windows" else {idea: False}
    for idea in ("convolutions", "passes", "short_windows", "qk_norm", "squared_relu", "zero_outputs")
}


def read(data: Path, config: Config, device: torch.device | str = "cpu") -> Corpus:
    """The text, with the training windows that a config asks for."""
    return (Passes if config.passes else Corpus)(data, config.block_size, device)


def main() -> None:
    options = parse_options(__doc__, Config, PRESETS, add_flags)
    config = options.config
    for idea in options.without:
        config = dataclasses.replace(config, **IDEAS[idea])
    torch.manual_seed(options.seed)
    corpus = read(options.data, config, options.device)
    if options.tune:
        corpus.tune()
    model = GPT(config, len(corpus.vocabulary)).to(options.device)
    train(model, corpus, config, options)


def add_flags(parser: argparse.ArgumentParser) -> None:
    said = f"leave out ideas, of {', '.join(IDEAS)}"
    parser.add_argument("--without", nargs="+", choices=IDEAS, default=[], metavar="IDEA", help=said)
    parser.add_argument("--tune", action="store_true", help="on the tuning split, to choose hyperparameters")


if __name__ == "__main__":
    run(main)
