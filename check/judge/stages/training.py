"""A short run from a model's own initial weights."""

import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from check.judge import reference
from check.judge.learner_file import B, LearnerFile, Model, close
from check.judge.matching import Sizes
from check.judge.reference import Form, Task, Weights
from check.judge.result import Failure
from common.data import Corpus
from common.options import DEFAULT_TEXT

import torch
from torch.nn import functional as F

LIMITS = Path(__file__).resolve().parent.parent / "limits.json"
TRAINING_STEPS = 100


def training(learner: LearnerFile) -> str:
    """From your initial weights a short run of the documented recipe learns as it should, in every part.

    The run is the reference's, whose logits and gradients are yours; docs/logs/check_bands.txt has the limits.
    """
    task = learner.task
    model = learner.build(training_sizes(task))
    values, weights = model.first_values, functools.partial(learner.weights, model)
    first, last, after = short_run(task, values, weights, learner.form, learner.seed)
    bands = json.loads(LIMITS.read_text(encoding="utf-8"))[learner.name]
    if not math.isfinite(first) or not bands["first"][0] <= first <= bands["first"][1]:
        raise Failure(
            what="an untrained model guesses",
            expected=f"a loss from {bands['first'][0]:.2f} to {bands['first'][1]:.2f}; ln 65 is {math.log(65):.2f}",
            got=f"{first:.2f}",
            hint="Which initial weights make the first logits so large?",
        )
    with torch.no_grad():
        _all_parts_learn(weights(values), weights(after), learner.form.swapped)
    most = limit(first, *bands["last"])
    if not math.isfinite(last) or last > most:
        raise Failure(
            what=f"{TRAINING_STEPS} steps learn something",
            expected=f"a validation loss of at most {most:.2f}, from {first:.2f}",
            got=f"{last:.2f}",
            hint="Which initial weights are so small, so large or so equal that nothing can be learned from them?",
        )
    if not _begins_as_documented(learner, model):
        learner.note("parameters are created in another order than in the lesson, or begin with other values")
    return f"{first:.2f} before, {last:.2f} after {TRAINING_STEPS} steps"


def _begins_as_documented(learner: LearnerFile, model: Model) -> bool:
    """Whether after the same seed the lesson's untrained model gives the same logits."""
    lesson, sizes = import_module(learner.name), model.sizes
    known = {field.name for field in dataclasses.fields(lesson.Config)}
    config = lesson.Config(**{name: value for name, value in learner.config(sizes).items() if name in known})
    torch.manual_seed(learner.seed)
    network = lesson.GPT(config, sizes.V).eval()
    same_scale = learner.form.scale == learner.task.documented_scale
    tokens = learner.tokens(B, sizes.T if same_scale else 1, sizes.V)  # one token alone tells nothing of scores
    with torch.no_grad():
        return close(learner.logits(model, tokens), network(tokens))


def limit(first: float, ordinary: tuple[float, float], large: tuple[float, float]) -> float:
    """The highest last loss of a right model that begins at `first`: on a line between two points, over ln(first)."""
    if first >= large[0]:
        return large[1]
    if first <= ordinary[0]:
        return ordinary[1]
    share = math.log(first / ordinary[0]) / math.log(large[0] / ordinary[0])
    return ordinary[1] + share * (large[1] - ordinary[1])


def _all_parts_learn(before: Weights, after: Weights, swapped: bool) -> None:
    """Raise Failure where weights never moved, or where all rows of a matrix stayed equal."""
    for (name, old), (_, new) in zip(_named(before), _named(after), strict=True):
        if torch.equal(old, new) and not name.startswith("queries bias" if swapped else "keys bias"):
            raise Failure(
                what="all weights learn from their initial values",
                expected=f"other {name} after {TRAINING_STEPS} steps",
                got="as at first" + ", all 0" * (not old.any()),
                hint="Which weights begin at zero on both sides of a product, so that neither gets a gradient?",
            )
        rows = new.flatten(0, -2) if new.ndim > 1 else new[:1, None]
        if len(rows) > 1 and (rows - rows[0]).abs().max() <= 1e-3 * rows.abs().max():
            raise Failure(
                what="the rows of a matrix learn different things",
                expected="initial values that differ from row to row",
                got=f"all rows of the {name} equal, also after {TRAINING_STEPS} steps",
                hint="Which rows begin equal and get equal gradients?",
            )


NAMES = {
    "token": "token embedding",
    "position": "position table",
    "q": "queries",
    "k": "keys",
    "v": "values",
    "widen": "feed-forward's first layer",
    "narrow": "feed-forward's last layer",
    "head": "output layer",
}


def _named(weights: Weights) -> list[tuple[str, torch.Tensor]]:
    """All weights with names for people."""
    found = [("", name, value) for name, value in weights.items()]
    for number, block in enumerate(weights["blocks"], 1):
        found += [(f" in block {number}", name, value) for name, value in block.items()]
    words = [(name.partition("_"), where, value) for where, name, value in found if isinstance(value, torch.Tensor)]
    return [(f"{NAMES.get(first, first)} {rest}".strip() + where, value) for (first, _, rest), where, value in words]


def training_sizes(task: Task) -> Sizes:
    """The documented sizes of tasks 1 to 6; but for a smaller head in task 1, so that no matrix is square."""
    return Sizes(V=65, C=32, H=4 if task.n_head else 1, D=8 if task.n_head else 16, T=8, L=3 if task.blocks else 1)


def short_run(
    task: Task, values: list[torch.Tensor], weights: Callable[[list[torch.Tensor]], Weights], form: Form, seed: int
) -> tuple[float, float, list[torch.Tensor]]:
    """TRAINING_STEPS steps of the reference: validation loss before and after, nats per character; the values after."""
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
        return first, loss("val", 1000).item(), leaves


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
