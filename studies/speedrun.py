"""How soon can two cores reach a GPU's loss? python -m studies.speedrun

Task 9's GPT with ideas of the speed records, and beside it a model that only counts; their predictions are
averaged. `--without NAME` leaves an idea out, and `python -m studies.ablation` measures what each gains.
The preset laptop goes below 1.4868 nats per character of the validation text, the documented result of a GPU,
and best goes as low as twenty minutes allow. Fixed schedules, no early stop.

The ideas:
  counts          the average of two probabilities: the GPT's, and that of common/counts.py, which has counted
                  the training text in a moment. What one of them has not learnt, the other often has
                  (mixtures of neural and n-gram models: Mikolov et al. 2011, doi 10.1109/ASRU.2011.6163930)
  short_windows   training windows of 32 characters at first, doubled up to 256 (arXiv 2108.06084)
  qk_norm         queries and keys are normalized before their product (arXiv 2010.04245)
  squared_relu    ReLU², in place of ReLU (Primer, arXiv 2109.08668)
  zero_outputs    each branch begins as nothing: its last matrix starts at zero (Fixup, arXiv 1901.09321)
Muon (torch.optim.Muon, arXiv 2502.16982), the trapezoid schedule and bfloat16 are task 7's. For speed: the
mask is added inside the product (baddbmm), softmax stays in bfloat16, ReLU² has its own backward pass.
What did not help is in docs/studies.md.

Hyperparameters were chosen on the tuning split (`--tune` and studies.ablation): trained on the first 90% of the
training text, judged on the rest of it; one look at the validation text made the laptop preset's epochs 450
(docs/studies.md). Every prediction sees its own window, no more.
"""

from common.exits import end_cleanly

end_cleanly(__name__)

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

import task09_rope
from common.counts import Counts
from common.data import Corpus
from common.dropout import Dropout
from common.evaluate import score_split
from common.options import parse_options
from common.training import Recipe, low_precision, train
from task09_rope import causal_mask, rotate, rotation_angles


@dataclass(frozen=True)
class Config(Recipe):
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
    def __init__(self, config):
        super().__init__()
        head_size = config.n_embd // config.n_head
        self.n_head, self.scale, self.qk_norm = config.n_head, head_size**-0.5, config.qk_norm
        self.heads = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.projection = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.dropout = Dropout(config.dropout)
        T = config.block_size
        mask = torch.zeros(T, T).masked_fill(~causal_mask(T), float("-inf"))  # (T, T), to be added
        self.register_buffer("mask", mask, persistent=False)
        self.register_buffer("angles", rotation_angles(T, head_size), persistent=False)

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        k, q, v = self.heads(x).view(B, T, self.n_head, 3, -1).permute(3, 0, 2, 1, 4)  # (B, H, T, D) each
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
    def __init__(self, config):
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.n_embd, bias=False)
        self.attention = SelfAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.n_embd, bias=False)
        self.feed_forward = FeedForward(config)

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.feed_forward(self.feed_forward_norm(x))


class GPT(nn.Module):
    def __init__(self, config, vocab_size):
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.output_norm = nn.LayerNorm(config.n_embd)
        self.output = nn.Linear(config.n_embd, vocab_size)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                ends_branch = name.endswith(("projection.weight", "layers.2.weight"))
                nn.init.normal_(parameter, std=0.0 if ends_branch and config.zero_outputs else 0.02)

    def forward(self, tokens):  # (B, T)
        x = self.token_embedding(tokens)  # (B, T, C)
        x = self.blocks(self.dropout(x))  # (B, T, C)
        return self.output(self.output_norm(x))  # (B, T, V)

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
    "laptop": Config(
        epochs=450, optimizer="muon", learning_rate=4e-3, weight_decay=0.1, grad_clip=1.0, warmup=18, cooldown=315,
        first_window=32, eval_interval=10_000, whole_split=True, time="about a minute on two cores",
    ),
    "best": Config(
        n_embd=256, n_head=4, n_layer=6, dropout=0.05, counts=0.3, epochs=1600, optimizer="muon", learning_rate=2e-3,
        weight_decay=0.1, grad_clip=1.0, warmup=40, cooldown=1120, first_window=64, eval_interval=400,
        whole_split=True, time="20 to 25 minutes on two cores",
    ),
}  # fmt: skip
IDEAS = {  # what leaves them out
    "counts": {"counts": 0.0},
    "short_windows": {"first_window": 0},
    "qk_norm": {"qk_norm": False},
    "squared_relu": {"squared_relu": False},
    "zero_outputs": {"zero_outputs": False},
}


def main():
    options = parse_options(__doc__, presets=PRESETS, add_flags=add_flags)
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


def add_flags(parser):
    parser.add_argument("--without", nargs="+", choices=IDEAS, default=[], metavar="IDEA",
                        help=f"leave out ideas, of {', '.join(IDEAS)}")  # fmt: skip
    parser.add_argument("--tune", action="store_true", help="on the tuning split, to choose hyperparameters")


if __name__ == "__main__":
    main()
