"""What do correct curves look like, and faulty ones? python -m studies.convergence --report

Thirteen small models of task 6: ten correct ones of different width and depth, and three with a fault. The faults are a
mask that shows the next character, no mask at all, and a learning rate thirty times too high. All train for the same
number of steps. Loss, perplexity and accuracy are means over 50 random batches of the validation text. `--report`
writes the log and docs/images/convergence.png.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import task06
from common import track
from common.data import Corpus
from common.evaluate import Score, estimate_score
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import progress, run
from studies.report import DOCS, Report, add_number, add_seed, add_threads, add_track, pyplot

import torch
from torch import nn
from torch.nn import functional as F

POINTS = 10  # evaluations of a run, evenly spread
BLOCK, BATCH, LEARNING_RATE = 32, 32, 3e-3
BATCHES = 50  # of an evaluation


@dataclass
class Curve:
    """A model, how it differs, and its results."""

    name: str
    n_embd: int
    n_layer: int
    learning_rate: float = LEARNING_RATE
    mask: str = "right"  # or "off by one", "none"
    steps: list[int] = field(default_factory=list)
    train: list[Score] = field(default_factory=list)
    val: list[Score] = field(default_factory=list)


def models() -> list[Curve]:
    """Ten correct models and three faulty ones, untrained."""
    sizes = [(16, 1), (32, 1), (64, 1), (96, 1), (128, 1), (16, 3), (32, 3), (64, 3), (96, 3), (64, 6)]
    return [
        *(Curve(f"{width} wide, {depth} block{'s' * (depth > 1)}", width, depth) for width, depth in sizes),
        Curve("sees the next character", 64, 3, mask="off by one"),
        Curve("no mask", 64, 3, mask="none"),
        Curve("learning rate × 30", 64, 3, learning_rate=30 * LEARNING_RATE),
    ]


def build(curve: Curve, vocab_size: int, seed: int) -> nn.Module:
    """A model of task 6, with the mask that the curve asks for."""
    torch.manual_seed(seed)
    sizes = {"n_embd": curve.n_embd, "n_layer": curve.n_layer, "block_size": BLOCK}
    model = task06.GPT(task06.Config(**sizes, n_head=4), vocab_size)
    for name, buffer in model.named_buffers():
        if name.endswith("mask") and curve.mask != "right":
            ones = torch.ones_like(buffer)
            buffer.copy_(ones if curve.mask == "none" else ones.tril(1))
    return model


def learn(curve: Curve, corpus: Corpus, steps: int, seed: int, log: Callable) -> None:
    """Train, evaluate, and pass the numbers to `log`."""
    seconds = 0.0  # in steps
    model = build(curve, len(corpus.vocabulary), seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=curve.learning_rate, fused=True)
    for step in range(steps + 1):
        progress.where = f"at step {step} of {steps}, {curve.name}"
        if step % max(1, steps // POINTS) == 0:
            curve.steps.append(step)
            curve.train.append(estimate_score(model, corpus, "train", BATCHES, BATCH))
            curve.val.append(estimate_score(model, corpus, "val", BATCHES, BATCH))
            speed = step * BATCH * BLOCK / max(seconds, 1e-9)
            log(step, track.curve(curve.train[-1].nats, curve.val[-1], curve.learning_rate, speed))
        start = time.perf_counter()
        tokens, targets = corpus.batch("train", BATCH)
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seconds += time.perf_counter() - start


def plot(curves: list[Curve]) -> None:
    """docs/images/convergence.png: loss, perplexity and accuracy; the right ones in grey, the wrong ones in colour."""
    figure, panels = pyplot().subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    colours = {"off by one": "#0072B2", "none": "#009E73", "right": "#D55E00"}  # told apart by colour-blind eyes
    for number, curve in enumerate(curves):
        wrong = curve.mask != "right" or curve.learning_rate != LEARNING_RATE
        style = {"color": colours[curve.mask] if wrong else "0.6", "linewidth": 2 if wrong else 1}
        label = curve.name if wrong else "right, ten sizes" if number == 0 else None
        values = ([s.nats for s in curve.val], [s.perplexity for s in curve.val], [s.accuracy for s in curve.val])
        for axes, value in zip(panels, values, strict=True):
            axes.plot(curve.steps, value, label=label, **style)
    for axes, name in zip(panels, ("loss (nats per character)", "perplexity", "accuracy"), strict=True):
        axes.set(xlabel="step", ylabel=f"validation {name}")
        axes.spines[["top", "right"]].set_visible(False)
    panels[1].set_yscale("log")
    panels[0].legend()
    figure.savefig(DOCS / "images" / "convergence.png", dpi=100)


def main() -> None:
    parser = Parser(description=__doc__)
    add_number(parser, "--steps", 1500, least=10)
    add_seed(parser)
    add_threads(parser, 1)
    add_track(parser)
    parser.add_argument("--report", action="store_true", help="write the log and the picture under docs/ too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report, corpus, curves = Report(), Corpus(DEFAULT_TEXT, BLOCK), models()
    report("| model | train loss | val loss | val perplexity | val accuracy |")
    report("|---|---|---|---|---|")
    for curve in curves:
        settings = {"n_embd": curve.n_embd, "n_layer": curve.n_layer, "learning_rate": curve.learning_rate}
        with track.run(options.track, curve.name, settings) as log:
            learn(curve, corpus, options.steps, options.seed, log)
        train, val = curve.train[-1], curve.val[-1]
        report(f"| {curve.name} | {train.nats:.4f} | {val.nats:.4f} | {val.perplexity:.2f} | {val.accuracy:.3f} |")
    if options.report:
        plot(curves)
    report.end("studies.convergence", options)


if __name__ == "__main__":
    run(main)
