"""How much faster the scripts are than the same lesson written plainly: python -m benchmarks.lecture

The plain version is written as in a lecture: one module a head, batches gathered in a Python loop, a forward pass for
each of the 2 × 200 evaluation batches, unfused AdamW. Both start from the same weights and random numbers. They take
turns, a slice of training and an evaluation each, so that a noisy machine slows both; the ratio is the median over the
slices. Seconds are extrapolated to the documented 5,000 steps with 10 evaluations. Peak memory is that of a run of the
script itself.
"""

import importlib
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from common.data import Corpus
from common.evaluate import estimate_loss
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import progress, run
from studies.report import add_number

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
STEPS, EVALUATIONS = 5000, 10


class PlainHead(nn.Module):
    def __init__(self, config, head_size):
        super().__init__()
        self.key = nn.Linear(config.n_embd, head_size, bias=False)
        self.query = nn.Linear(config.n_embd, head_size, bias=False)
        self.value = nn.Linear(config.n_embd, head_size, bias=False)
        self.register_buffer("tril", torch.tril(torch.ones(config.block_size, config.block_size)))

    def forward(self, x):  # (B, T, C)
        T, C = x.shape[1:]
        weights = self.query(x) @ self.key(x).transpose(-2, -1) * C**-0.5  # (B, T, T)
        weights = weights.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        return F.softmax(weights, dim=-1) @ self.value(x)  # (B, T, D)


class PlainBlock(nn.Module):
    def __init__(self, number, config):
        super().__init__()
        C = config.n_embd
        n_head = 1 if number == 1 else config.n_head
        self.heads = nn.ModuleList([PlainHead(config, C // n_head) for _ in range(n_head)])
        self.projection = nn.Linear(C, C) if number >= 5 else nn.Identity()
        self.feed_forward = nn.Identity()
        if number in (3, 4):
            self.feed_forward = nn.Sequential(nn.Linear(C, C), nn.ReLU())
        elif number >= 5:
            self.feed_forward = nn.Sequential(nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C))
        self.norm1, self.norm2 = (nn.LayerNorm(C) if number >= 6 else nn.Identity() for _ in range(2))
        self.skip = number >= 5

    def forward(self, x):  # (B, T, C)
        normed = self.norm1(x)
        heard = self.projection(torch.cat([head(normed) for head in self.heads], dim=-1))
        x = x + heard if self.skip else heard
        digested = self.feed_forward(self.norm2(x))
        return x + digested if self.skip else digested


class PlainGPT(nn.Module):
    """The model of task `number`, head by head."""

    def __init__(self, number, config, vocab_size):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        n_layer = config.n_layer if number >= 4 else 1
        self.blocks = nn.Sequential(*[PlainBlock(number, config) for _ in range(n_layer)])
        self.norm = nn.LayerNorm(config.n_embd) if number >= 6 else nn.Identity()
        self.lm_head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, tokens):  # (B, T)
        x = self.token_embedding(tokens) + self.position_embedding(torch.arange(tokens.shape[1]))
        return self.lm_head(self.norm(self.blocks(x)))  # (B, T, V)


class Plain:
    """The lecture's training."""

    def __init__(self, number, task, corpus):
        self.config = task.Config()
        self.splits = {name: tokens.long() for name, tokens in corpus.splits.items()}
        self.model = PlainGPT(number, self.config, len(corpus.vocabulary))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.config.learning_rate)

    def batch(self, split):
        data, T = self.splits[split], self.config.block_size
        starts = torch.randint(len(data) - T, (self.config.batch_size,))
        return torch.stack([data[i : i + T] for i in starts]), torch.stack([data[i + 1 : i + T + 1] for i in starts])

    def loss(self, split):
        tokens, targets = self.batch(split)
        logits = self.model(tokens)
        B, T, V = logits.shape
        return F.cross_entropy(logits.view(B * T, V), targets.view(B * T))

    def train(self, steps):
        for _ in range(steps):
            loss = self.loss("train")
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def evaluate(self):
        means = []
        for split in ("train", "val"):
            losses = torch.zeros(self.config.eval_batches)
            for i in range(self.config.eval_batches):
                losses[i] = self.loss(split).item()
            means.append(losses.mean().item())
        return means


class Ours(Plain):
    """The script's training."""

    def __init__(self, number, task, corpus):
        self.config, self.corpus = task.Config(), corpus
        self.model = task.GPT(self.config, len(corpus.vocabulary))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.config.learning_rate, fused=True)

    def loss(self, split):
        tokens, targets = self.corpus.batch(split, self.config.batch_size)
        return F.cross_entropy(self.model(tokens).flatten(0, 1), targets.flatten())

    def evaluate(self):
        sizes = self.config.eval_batches, self.config.batch_size
        return [estimate_loss(self.model, self.corpus, split, *sizes) for split in ("train", "val")]


def compare(number, corpus, rounds, steps):
    """Seconds of a documented run, plain and ours, their ratio, and the largest difference of the two logs."""
    task = importlib.import_module(f"task{number:02}")
    contestants, states = [], []
    for kind in (Plain, Ours):
        torch.manual_seed(42)
        contestants.append(kind(number, task, corpus))
        states.append(torch.get_rng_state())
    seconds, logs = ([], []), ([], [])
    for _, i in itertools.product(range(rounds), range(2)):
        torch.set_rng_state(states[i])
        start = time.perf_counter()
        logs[i].append(contestants[i].evaluate())
        evaluated = time.perf_counter()
        contestants[i].train(steps)
        trained = time.perf_counter()
        states[i] = torch.get_rng_state()
        seconds[i].append((trained - evaluated) / steps * STEPS + (evaluated - start) * EVALUATIONS)
    ratio = median(plain / ours for plain, ours in zip(*seconds, strict=True))
    difference = (torch.tensor(logs[0]) - torch.tensor(logs[1])).abs().max().item()
    return median(seconds[0]), median(seconds[1]), ratio, difference


def peak_megabytes(number):
    """Peak resident memory of a short run of the script, evaluations and sampling included."""
    command = [sys.executable, f"task{number:02}.py", "--steps", "501", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"task{number:02}.py failed")
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    parser = Parser(description=__doc__)
    add_number(parser, "--rounds", 7, "slices for each version")
    add_number(parser, "--steps", 200, "a slice")
    parser.add_argument("--tasks", type=int, nargs="+", default=range(1, 7), choices=range(1, 7), metavar="N")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as the scripts do
    corpus = Corpus(DEFAULT_TEXT, block_size=8)
    table = Table(title="plain lecture style against this repository, one thread")
    for column in ("task", "plain s", "ours s", "plain / ours", "logs differ by at most", "peak MB"):
        table.add_column(column, justify="right")
    for number in options.tasks:
        progress.where = f"while task {number} ran"
        plain, ours, ratio, difference = compare(number, corpus, options.rounds, options.steps)
        peak = f"{peak_megabytes(number):.0f}" if hasattr(os, "wait4") else "-"
        table.add_row(f"{number}", f"{plain:.1f}", f"{ours:.1f}", f"{ratio:.2f}", f"{difference:.4f}", peak)
    Console().print(table)
    print(f"# {describe()}")


if __name__ == "__main__":
    run(main)
