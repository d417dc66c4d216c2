"""How do recurrence and attention manage time?"""

import itertools
import statistics
import time

import task07
from common.data import Corpus
from common.options import DEFAULT_TEXT
from studies.questions.shared import COLOURS, IMAGES, learn, table

import torch
from torch import nn

WIDTH = 64  # of the layers whose time is taken
LENGTHS = (16, 64, 256, 1024)
READ = 64  # characters that the layers read
DISTANCES = (0, 1, 4, 16, 63)


def layers(longest):
    """An LSTM and an attention layer of the same width."""
    config = task07.Config(block_size=longest, n_embd=WIDTH, n_head=1, dropout=0.0)
    return nn.LSTM(WIDTH, WIDTH, batch_first=True), task07.SelfAttention(config)


def step_by_step(lstm, x):  # (B, T, C)
    """As an LSTM must when each input is known only after the last output: T calls that wait for each other."""
    outputs, state = [], None
    for t in range(x.shape[1]):
        output, state = lstm(x[:, t : t + 1], state)
        outputs.append(output)
    return torch.cat(outputs, dim=1)  # (B, T, C)


def cost(rounds=3):
    """Milliseconds, forward and back, of a sequence of each length: an LSTM's two ways, and attention. Medians.

    Processor time of one thread: what else the machine does is not in it.
    """
    lstm, attention = layers(max(LENGTHS))
    ways = [lambda x: step_by_step(lstm, x), lambda x: lstm(x)[0], attention]
    rows = []
    for length in LENGTHS:
        x = torch.randn(1, length, WIDTH)  # (B, T, C)
        times = [[] for _ in ways]
        for _, (compute, found) in itertools.product(range(rounds), zip(ways, times, strict=True)):
            start = time.process_time()
            compute(x).sum().backward()
            found.append(1000 * (time.process_time() - start))
        rows.append([length, *(statistics.median(found) for found in times)])
    return rows


class Reader(nn.Module):
    """Tokens (B, T) → logits (B, T, V), by one layer that looks back."""

    def __init__(self, layer, vocab_size):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, WIDTH)
        self.position_embedding = nn.Embedding(READ, WIDTH)
        self.layer = layer
        self.lm_head = nn.Linear(WIDTH, vocab_size)

    def read(self, x):  # (B, T, C)
        y = self.layer(x)  # the LSTM gives its state, too
        return y[0] if isinstance(y, tuple) else y  # (B, T, C)

    def embed(self, tokens):  # (B, T)
        return self.token_embedding(tokens) + self.position_embedding.weight  # (B, T, C)

    def forward(self, tokens):  # (B, T)
        return self.lm_head(self.read(self.embed(tokens)))  # (B, T, V)


def reach(model, corpus, rows=32):
    """(T): how much a model's last output feels the input that far back, the mean of some rows of text."""
    x = model.embed(corpus.batch("val", rows)[0]).detach().requires_grad_()  # (B, T, C)
    (model.read(x)[:, -1] * torch.randn(rows, WIDTH)).sum().backward()
    return x.grad.norm(dim=-1).mean(dim=0).flip(0)


def reaches(steps):
    """Name → `reach` of an LSTM and of attention, before and after a short training."""
    corpus, found = Corpus(DEFAULT_TEXT, READ), {}
    for name, layer in zip(("LSTM", "attention"), layers(READ), strict=True):
        model = Reader(layer, len(corpus.vocabulary))
        found[f"{name}, untrained"] = reach(model, corpus)
        learn(model, corpus, steps)
        found[f"{name}, trained"] = reach(model, corpus)
    return found


def recurrence(corpus, options, draw):
    times, felt = cost(), reaches(options.steps)
    table(
        ["T", "LSTM, T calls (ms)", "LSTM, one call (ms)", "attention (ms)"],
        *([str(row[0]), *(f"{value:.2f}" for value in row[1:])] for row in times),
    )
    table(
        ["how far back", *map(str, DISTANCES)],
        *([name, *(far[d].item() for d in DISTANCES)] for name, far in felt.items()),
    )
    if not draw:
        return
    figure, (left, right) = draw.subplots(1, 2, figsize=(10, 4), layout="constrained")
    lengths, *columns = zip(*times, strict=True)
    labels = ("LSTM, a call a step", "LSTM, one call", "attention, one call")
    for column, label, colour, mark in zip(columns, labels, COLOURS[-3:], "osv", strict=True):
        left.loglog(lengths, column, mark + "-", color=colour, label=label)
    left.set(xlabel="length T (positions)", ylabel="forward and back (ms, one core)")
    left.set_xticks(lengths, [str(length) for length in lengths], minor=False)
    for (name, far), style in zip(felt.items(), (":", "-", ":", "-"), strict=True):
        right.semilogy(far, style, color=COLOURS[-3 if "LSTM" in name else -1], label=name)
    right.set(xlabel="how far back the input is (positions)", ylabel="gradient norm of the last output")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(IMAGES / "questions_recurrence.png", dpi=100)
