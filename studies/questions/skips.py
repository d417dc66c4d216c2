"""Why skip connections, and what happens without?"""

import itertools
import statistics

import task04
import task05
from common.evaluate import score_split
from studies.questions.shared import COLOURS, IMAGES, learn, table

import torch

DEPTHS = (3, 6, 12)
STYLES = ("-", "--", ":")


class Unskipped(task05.Block):
    """Task 5's block without its skips."""

    def forward(self, x):  # (B, T, C)
        return self.feed_forward(self.attention(x))


def unskip(model):
    """The same weights, without skips."""
    for block in model.blocks:
        block.__class__ = Unskipped
    return model


def block_norms(model):
    """The norm of the gradient of each block's parameters."""
    return [torch.stack([p.grad.norm() for p in block.parameters()]).norm().item() for block in model.blocks]


def first_norms(model, corpus):
    """The blocks' gradient norms of an untrained model."""
    norms = []
    learn(model, corpus, 1, watch=lambda: norms.extend(block_norms(model)))
    return norms


def follow(model, corpus, steps):
    """The blocks' gradient norms before each step, and the validation loss after them."""
    norms = []
    learn(model, corpus, steps, watch=lambda: norms.append(block_norms(model)))
    return norms, score_split(model, corpus, "val").nats


def skips(corpus, options, draw):
    steps = min(200, options.steps)
    found = {}
    for name, lesson, change in (
        ("task 4", task04, lambda model: model),
        ("task 5 without skips", task05, unskip),
        ("task 5", task05, lambda model: model),
    ):
        torch.manual_seed(options.seed)
        model = change(lesson.GPT(lesson.Config(), len(corpus.vocabulary)))
        found[name] = follow(model, corpus, steps)
    table(
        ["gradient norm at the start", "block 1", "block 2", "block 3", f"validation loss after {steps} steps"],
        *([name, *norms[0], f"{loss:.3f}"] for name, (norms, loss) in found.items()),
    )
    table(
        [f"gradient norm, mean of {steps} steps", "block 1", "block 2", "block 3"],
        *([name, *map(statistics.mean, zip(*norms, strict=True))] for name, (norms, _) in found.items()),
    )
    deep = {"without skips": [], "with skips": []}
    for depth, (name, change) in itertools.product(DEPTHS, (("without skips", unskip), ("with skips", lambda m: m))):
        torch.manual_seed(options.seed)
        model = task05.GPT(task05.Config(n_layer=depth), len(corpus.vocabulary))
        deep[name].append(first_norms(change(model), corpus)[0])
    table(
        ["gradient norm of block 1, untrained", *(f"{depth} blocks" for depth in DEPTHS)],
        *([name, *values] for name, values in deep.items()),
    )
    if not draw:
        return
    figure, all_axes = draw.subplots(1, len(found), figsize=(10, 3.8), layout="constrained", sharey=True)
    for axes, (name, (norms, _)) in zip(all_axes, found.items(), strict=True):
        for n, (column, colour, line) in enumerate(zip(zip(*norms, strict=True), COLOURS[-3:], STYLES, strict=True), 1):
            axes.semilogy(column, line, color=colour, label=f"block {n}")
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("norm of the block's gradient (nats)")
    all_axes[0].legend()
    figure.savefig(IMAGES / "questions_skips.png", dpi=100)
