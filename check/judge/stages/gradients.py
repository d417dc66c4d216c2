"""What a model learns from a loss."""

import re
from typing import Any

from check.isolated.notebook import source_of
from check.judge import reference
from check.judge.learner_file import LearnerFile, Model, close, off
from check.judge.result import Failure

import torch
from torch.nn import functional as F


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
    losses = [part for part in output if isinstance(part, torch.Tensor) and part.ndim == 0]
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
