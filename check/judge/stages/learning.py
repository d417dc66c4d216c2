"""What a model learns: the gradients of a loss, and a short run from its own initial weights."""

import dataclasses
import functools
import itertools
import json
import math
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from check.isolated.notebook import source_of
from check.judge import reference
from check.judge.learner_file import B, LearnerFile, Model, close, off
from check.judge.matching import Sizes
from check.judge.reference import Form, Task, Weights
from check.judge.result import Failure
from common.data import Corpus
from common.options import DEFAULT_TEXT

import torch
from torch.nn import functional as F

LIMITS = Path(__file__).resolve().parent.parent / "limits.json"
TRAINING_STEPS = 100


def gradients(learner: LearnerFile) -> str:
    """Every parameter gets the gradient of the lesson's model.

    Where a ReLU's input is nearly 0, rounding decides whether a gradient passes: two texts must differ to fail.
    """
    model = learner.small_model()
    T, V = model.sizes.T, model.sizes.V
    first, second = ([learner.tokens(4, T, V, salt=salt + more) for more in (0, 1)] for salt in (21, 23))
    _own_loss(learner, model, *first)
    try:
        return _compared(learner, model, *first)
    except Failure:
        return _compared(learner, model, *second)


def _compared(learner: LearnerFile, model: Model, tokens: torch.Tensor, targets: torch.Tensor) -> str:
    got = learner.gradients(model, tokens, targets)
    leaves = [value.clone().requires_grad_() for value in model.values]
    logits = reference.logits(learner.task, learner.weights(model, leaves), tokens, learner.form)
    F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    wanted = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    largest = max(float(gradient.abs().max()) for gradient in wanted)
    learned = zip(model.names, wanted, got, strict=True)
    still = [name for name, expected, own in learned if _moves(expected, largest) and not _moves(own, largest)]
    if still:
        raise Failure(
            what="every parameter gets a gradient",
            expected="all of them",
            got=f"none for {', '.join(still)}",
            hint="Is each layer used in forward, and is something detached?",
        )
    for name, expected, own in zip(model.names, wanted, got, strict=True):
        if own is not None and not (own - expected).abs().max() <= 2e-3 * largest:
            raise Failure(
                what="every parameter gets the gradient that the formula gives",
                expected="an equal gradient",
                got=f"{name} {off(own, expected)}",
                hint="Is something detached, copied, rounded or computed under no_grad on the way?",
            )
    return f"all {len(got)} tensors get their gradients"


def _own_loss(learner: LearnerFile, model: Model, tokens: torch.Tensor, targets: torch.Tensor) -> None:
    """Where forward takes targets as well, its loss is the mean cross-entropy. Raises Failure for another."""
    name = learner.process.ask("takes_targets", model=model.number)
    if not name:
        return
    output = learner.process.ask("loss", model=model.number, tokens=tokens, targets=targets)
    parts = output if isinstance(output, list) else [output]
    losses = [part for part in parts if isinstance(part, torch.Tensor) and part.ndim == 0]
    # Whether the file makes targets that are one ahead of the tokens, as in data[i + 1 : i + 1 + T].
    shifts = re.search(rb"\+ ?1 ?:", source_of(learner.path)) is not None
    if losses:
        logits = learner.logits(model, tokens)
        loss_is_right(learner, losses[0], logits, targets, may_shift=name == "labels" and not shifts)


def loss_is_right(
    learner: LearnerFile, got: torch.Tensor, logits: torch.Tensor, targets: torch.Tensor, may_shift: bool = False
) -> None:
    """Raise Failure for a loss that is not the mean cross-entropy of logits (B, T, V) and targets (B, T).

    `may_shift`: it may be that of logits and the next targets, as in Hugging Face's models; then a note says so.
    """

    def entropy(logits: torch.Tensor, targets: torch.Tensor = targets, **how: Any) -> torch.Tensor:
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **how)

    expected, each = entropy(logits), entropy(logits, reduction="none").view(targets.shape)
    if close(got, expected):
        return
    shifted = entropy(logits[:, :-1], targets[:, 1:])
    if may_shift and close(got, shifted):
        learner.note(
            "the loss shifts its targets by one, as Hugging Face's models do: its targets are the tokens themselves"
        )
        return
    order = "of logits in the order of positions, and targets in the order of rows"
    known = [
        ("of targets that are shifted once more", shifted, "Are the targets already shifted by one?"),
        ("of the last position alone", each[:, -1].mean(), "Which positions have a target?"),
        ("of all positions but the last", each[:, :-1].mean(), "Which positions have a target?"),
        ("as a sum", each.sum(), "Is the loss a mean over all B · T targets?"),
        (
            "of softmaxed logits",
            entropy(logits.softmax(-1)),
            "What does cross_entropy expect: logits or probabilities?",
        ),
        (order, entropy(logits.transpose(0, 1)), "Have logits and targets the same order when they are flattened?"),
    ]
    for token in (0, logits.shape[-1] - 1):
        without = entropy(logits, ignore_index=token)
        known.append((f"without the targets {token}", without, "Which targets does ignore_index leave out?"))
    other = ("", None, "Which targets belong to which logits, and is it a mean over all?")
    name, _, hint = next((each for each in known if close(got, each[1])), other)
    raise Failure(
        what="the loss that forward returns is the mean cross-entropy of the targets",
        expected=f"{expected:.4f}",
        got=f"{got:.4f}" + f", the cross-entropy {name}" * bool(name),
        hint=hint,
    )


def _moves(gradient: torch.Tensor | None, largest: float) -> bool:
    """Whether there is a gradient; a bias of keys has none, because a softmax does not notice it."""
    return gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.abs().max() > 1e-5 * largest)


# A short run


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
