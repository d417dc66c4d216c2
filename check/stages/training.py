"""A short run from a model's own initial weights."""

import itertools
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from check import reference
from check.matching import Sizes
from check.reference import Form, Task, Weights
from check.result import Failure
from check.subject import Subject
from common.data import Corpus
from common.options import DEFAULT_TEXT

import torch
from torch.nn import functional as F

BANDS = Path(__file__).resolve().parent.parent / "bands.json"
TRAINING_STEPS = 100


def training(subject: Subject) -> str:
    """From your initial weights a short run of the documented recipe learns as it should.

    The run is the reference's, whose logits and gradients are yours; docs/logs/check_bands.txt has the limits.
    """
    task = subject.task
    model = subject.build(training_sizes(task))
    values, weights = subject.weights_of(model)
    first, last = short_run(task, values, weights, subject.form, subject.seed)
    bands = json.loads(BANDS.read_text(encoding="utf-8"))[subject.name]
    if not math.isfinite(first) or not bands["first"][0] <= first <= bands["first"][1]:
        raise Failure(
            what="an untrained model guesses",
            expected=f"a loss from {bands['first'][0]:.2f} to {bands['first'][1]:.2f}; ln 65 is {math.log(65):.2f}",
            got=f"{first:.2f}",
            question="Which initial weights make the first logits so large?",
        )
    if not math.isfinite(last) or last > bands["last"][1]:
        raise Failure(
            what=f"{TRAINING_STEPS} steps learn something",
            expected=f"a validation loss of at most {bands['last'][1]:.2f}",
            got=f"{last:.2f}",
            question="Which initial weights are so small, so large or so equal that nothing can be learned from them?",
        )
    return f"{first:.2f} before, {last:.2f} after {TRAINING_STEPS} steps"


def training_sizes(task: Task) -> Sizes:
    """The documented sizes of tasks 1 to 6; but for a smaller head in task 1, so that no matrix is square."""
    return Sizes(V=65, C=32, H=4 if task.n_head else 1, D=8 if task.n_head else 16, T=8, L=3 if task.blocks else 1)


def short_run(
    task: Task, values: list[torch.Tensor], weights: Callable[[list[torch.Tensor]], Weights], form: Form, seed: int
) -> tuple[float, float]:
    """Validation loss before and after TRAINING_STEPS steps of the reference from these values, nats per character."""
    torch.manual_seed(seed)
    corpus = Corpus(DEFAULT_TEXT, training_sizes(task).T)
    leaves = [value.clone().requires_grad_() for value in values]
    step = adamw(leaves, lr=1e-3)

    def loss(split: str, rows: int) -> torch.Tensor:
        tokens, targets = corpus.batch(split, rows)
        logits = reference.logits(task, weights(leaves), tokens, form)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    with torch.no_grad():
        first = loss("val", 1000).item()
    for _ in range(TRAINING_STEPS):
        step(torch.autograd.grad(loss("train", 32), leaves, allow_unused=True))
    with torch.no_grad():
        return first, loss("val", 1000).item()


def adamw(
    leaves: list[torch.Tensor], lr: float, decay: float = 0.01
) -> Callable[[Sequence[torch.Tensor | None]], None]:
    """A function that takes AdamW's next step (https://arxiv.org/abs/1711.05101) with gradients.

    torch.optim would import PyTorch's compiler first, which takes longer than the whole run.
    """
    means, squares = ([torch.zeros_like(leaf) for leaf in leaves] for _ in range(2))
    steps = itertools.count(1)

    @torch.no_grad()
    def step(gradients: Sequence[torch.Tensor | None]) -> None:
        n = next(steps)
        for leaf, mean, square, gradient in zip(leaves, means, squares, gradients, strict=True):
            if gradient is None:
                continue
            leaf.mul_(1 - lr * decay)
            mean.lerp_(gradient, 0.1)
            square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            leaf.addcdiv_(mean, (square / (1 - 0.999**n)).sqrt_().add_(1e-8), value=-lr / (1 - 0.9**n))

    return step
