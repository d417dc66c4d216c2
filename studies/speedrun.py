"""How soon can two cores reach a GPU's loss? python -m studies.speedrun

Task 9's GPT with ideas of the speed records, each of which `--without NAME` leaves out (a field of Config;
`python -m studies.ablation` measures what each gains). The preset aims at 1.4868 nats per character of the
validation text, the documented result of a GPU, within three minutes: a fixed schedule, no early stop. No
results are recorded yet.

The ideas, in the order of the code:
  ngrams        a table of vectors for each pair, and one (hashed) for each triple, of neighbouring
                characters is added to the token's: what an n-gram model knows, for no matrix product
                (modded-nanogpt's bigram hash embedding; hashed n-grams: fastText, arXiv 1607.04606)
  qk_norm       queries and keys are normalized before their product (arXiv 2010.04245)
  squared_relu  ReLU², in place of ReLU (Primer, arXiv 2109.08668)
  zero_outputs  each branch begins as nothing: its last matrix starts at zero (Fixup, arXiv 1901.09321)
Muon (torch.optim.Muon, arXiv 2502.16982), the trapezoid schedule and bfloat16 are task 7's. For speed: the
mask is added inside the product (baddbmm), softmax stays in bfloat16, ReLU² has its own backward pass.

Hyperparameters are to be chosen with `--tune`, which trains on the first 90% of the training text and reports
the rest of it; the validation text is for the final report alone.
"""

from common.exits import end_cleanly

end_cleanly(__name__)

import dataclasses
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

import task09_rope
from common.data import Corpus
from common.dropout import Dropout
from common.options import parse_options
from common.training import Recipe, train
from task09_rope import rotation_angles


@dataclass(frozen=True)
class Config(Recipe):
    """In shape comments: B batch, T time, C = n_embd, H heads, D head size, V vocabulary."""

    batch_size: int = 16
    block_size: int = 256
    n_embd: int = 256
    n_head: int = 2  # of 128: fewer, wider heads have fewer scores to compute
    n_layer: int = 4
    dropout: float = 0.0
    ngrams: bool = True
    triples: int = 8192  # rows of the table of triples
    qk_norm: bool = True
    squared_relu: bool = True
    zero_outputs: bool = True


class SquaredReLU(torch.autograd.Function):
    """max(0, x)², with one product each way where `relu(x).square()` takes two and a comparison."""

    @staticmethod
    def forward(context, x):
        positive = x.clamp_min(0)
        context.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(context, gradient):
        (positive,) = context.saved_tensors
        return (gradient * positive).mul_(2)


def rotate(x, cos, sin):
    """As task 9's, of angles whose cosines and sines (T, D/2) are at hand."""
    first, second = x.chunk(2, dim=-1)  # (…, T, D/2) each
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)  # (…, T, D)


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.head_size = config.n_head, config.n_embd // config.n_head
        self.qk_norm = config.qk_norm
        self.heads = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.projection = nn.Linear(config.n_embd, config.n_embd, bias=False)
        self.dropout = Dropout(config.dropout)
        T = config.block_size
        angles = rotation_angles(T, self.head_size)  # (T, D/2)
        mask = torch.zeros(T, T).masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), float("-inf"))
        for name, table in (("cos", angles.cos()), ("sin", angles.sin()), ("mask", mask)):
            self.register_buffer(name, table, persistent=False)

    def forward(self, x):  # (B, T, C)
        B, T, C = x.shape
        q, k, v = self.heads(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        cos, sin, mask = (table[:T].to(q.dtype) for table in (self.cos, self.sin, self.mask[:, :T]))
        if self.qk_norm:
            q, k = F.layer_norm(q, (self.head_size,)), F.layer_norm(k, (self.head_size,))
        q, k = rotate(q, cos, sin).flatten(0, 1), rotate(k, cos, sin).flatten(0, 1)  # (B·H, T, D) each
        with torch.autocast(x.device.type, enabled=False):  # softmax in the precision of its input
            scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=self.head_size**-0.5)  # (B·H, T, T)
            weights = self.dropout(F.softmax(scores, dim=-1))
            x = weights @ v.reshape(B * self.n_head, T, -1)  # (B·H, T, D)
        return self.dropout(self.projection(x.view(B, -1, T, self.head_size).transpose(1, 2).reshape(B, T, C)))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wide = nn.Linear(config.n_embd, 4 * config.n_embd, bias=False)
        self.narrow = nn.Linear(4 * config.n_embd, config.n_embd, bias=False)
        self.activation = SquaredReLU.apply if config.squared_relu else F.relu
        self.dropout = Dropout(config.dropout)

    def forward(self, x):  # (B, T, C)
        return self.dropout(self.narrow(self.activation(self.wide(x))))  # (B, T, C)


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
        self.vocab_size = vocab_size
        self.config = config
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        if config.ngrams:
            self.pairs = nn.Embedding(vocab_size**2, config.n_embd)
            self.triples = nn.Embedding(config.triples, config.n_embd)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.Sequential(*(Block(config) for _ in range(config.n_layer)))
        self.output_norm = nn.LayerNorm(config.n_embd)
        self.output = nn.Linear(config.n_embd, vocab_size)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                ends_branch = name.endswith(("projection.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.0 if ends_branch and config.zero_outputs else 0.02)

    def forward(self, tokens):  # (B, T)
        x = self.token_embedding(tokens)  # (B, T, C)
        if self.config.ngrams:
            before = F.pad(tokens, (1, 0))[:, :-1]
            earlier = F.pad(tokens, (2, 0))[:, :-2]
            pair = before * self.vocab_size + tokens
            triple = (earlier * self.vocab_size**2 + pair) * 2654435761 % 2**32 * self.triples.num_embeddings >> 32
            x = x + self.pairs(pair) + self.triples(triple)
        x = self.blocks(self.dropout(x))  # (B, T, C)
        return self.output(self.output_norm(x))  # (B, T, V)

    generate = task09_rope.GPT.generate


PRESETS = {
    "laptop": Config(
        epochs=700, optimizer="muon", learning_rate=4e-3, weight_decay=0.1, grad_clip=1.0, warmup=20, cooldown=500,
        eval_interval=10_000, whole_split=True, time="some minutes on two cores",
    ),
}  # fmt: skip
IDEAS = "ngrams", "qk_norm", "squared_relu", "zero_outputs"  # fields of Config


def main():
    options = parse_options(__doc__, presets=PRESETS, add_flags=add_flags)
    config = dataclasses.replace(options.config, **dict.fromkeys(options.without, False))
    torch.manual_seed(options.seed)
    corpus = Corpus(options.data, config.block_size, options.device)
    if options.tune:
        corpus.tune()
    model = GPT(config, len(corpus.vocabulary)).to(options.device)
    train(model, corpus, config, options)


def add_flags(parser):
    parser.add_argument("--without", nargs="+", choices=IDEAS, default=[], metavar="IDEA",
                        help=f"leave out ideas, of {', '.join(IDEAS)}")  # fmt: skip
    parser.add_argument("--tune", action="store_true", help="on the tuning split, to choose hyperparameters")


if __name__ == "__main__":
    main()
