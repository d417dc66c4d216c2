"""How do recurrence and attention manage time?"""

import itertools
import statistics
import time

import task07
from studies.questions.shared import COLOURS, IMAGES, table

import torch
from torch import nn

WIDTH = 64  # of the layers whose time is taken
LENGTHS = (16, 64, 256, 1024)
DISTANCES = (0, 1, 4, 16, 63)


def layers(longest):
    """An LSTM and an attention layer of the same width."""
    config = task07.Config(block_size=longest, n_embd=WIDTH, n_head=1, dropout=0.0, paper_scale=True)
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


def reach(longest=64, rows=32):
    """(T): how much the last output of an untrained layer feels the input so far back; LSTM, then attention."""
    lstm, attention = layers(longest)
    felt = []
    for compute in (lambda x: lstm(x)[0], attention):
        x = torch.randn(rows, longest, WIDTH, requires_grad=True)  # (B, T, C)
        (compute(x)[:, -1] * torch.randn(rows, WIDTH)).sum().backward()
        felt.append(x.grad.norm(dim=-1).mean(dim=0).flip(0))
    return felt


def recurrence(corpus, options, draw):
    times, (by_lstm, by_attention) = cost(), reach()
    table(
        ["T", "LSTM, T calls (ms)", "LSTM, one call (ms)", "attention (ms)"],
        *([str(row[0]), *(f"{value:.2f}" for value in row[1:])] for row in times),
    )
    table(
        ["how far back", *map(str, DISTANCES)],
        ["LSTM", *(by_lstm[d].item() for d in DISTANCES)],
        ["attention", *(by_attention[d].item() for d in DISTANCES)],
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
    right.semilogy(by_lstm, "-", color=COLOURS[-3], label="LSTM")
    right.semilogy(by_attention, "--", color=COLOURS[-1], label="attention")
    right.set(xlabel="how far back the input stands (positions)", ylabel="gradient norm of the last output")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(IMAGES / "questions_recurrence.png", dpi=100)
