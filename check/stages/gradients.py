"""What a model learns from a loss."""

from check import reference
from check.result import Failure
from check.subject import Model, Subject, close, off

import torch
from torch.nn import functional as F


def gradients(subject: Subject) -> str:
    """Every parameter gets the gradient of the lesson's model."""
    model = subject.small_model()
    T, V = model.sizes.T, model.sizes.V
    tokens, targets = subject.tokens(4, T, V, salt=21), subject.tokens(4, T, V, salt=22)
    _own_loss(subject, model, tokens, targets)
    got = subject.session.ask("gradients", model=model.number, tokens=tokens, targets=targets)
    leaves = [value.clone().requires_grad_() for value in model.values]
    logits = reference.logits(subject.task, subject.weights(model, leaves), tokens, subject.form)
    F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    wanted = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
    largest = max(float(gradient.abs().max()) for gradient in wanted)
    learned = zip(model.names, wanted, got["gradients"], strict=True)
    still = [name for name, expected, own in learned if _moves(expected, largest) and not _moves(own, largest)]
    if still:
        raise Failure(
            what="every parameter gets a gradient",
            expected="all of them",
            got=f"none for {', '.join(still)}",
            question="Is each layer used in forward, and nothing detached?",
        )
    for name, expected, own in zip(model.names, wanted, got["gradients"], strict=True):
        if own is not None and not (own - expected).abs().max() <= 2e-3 * largest:
            raise Failure(
                what="every parameter gets the gradient that the formula gives",
                expected="an equal gradient",
                got=f"{name} {off(own, expected)}",
                question="Is nothing detached, copied, rounded or computed under no_grad on the way?",
            )
    return f"all {len(got['gradients'])} tensors get their gradients"


def _own_loss(subject: Subject, model: Model, tokens: torch.Tensor, targets: torch.Tensor) -> None:
    """Where forward takes targets as well, its loss is the mean cross-entropy. Raises Failure for another."""
    if not subject.session.ask("takes_targets", model=model.number):
        return
    output = subject.session.ask("loss", model=model.number, tokens=tokens, targets=targets)
    losses = [part for part in output if isinstance(part, torch.Tensor) and part.ndim == 0]
    expected = F.cross_entropy(subject.logits(model, tokens).flatten(0, 1), targets.flatten())
    if losses and not close(losses[0], expected):
        raise Failure(
            what="the loss that forward returns is the mean cross-entropy of the targets",
            expected=f"{expected:.4f}",
            got=f"{losses[0]:.4f}",
            question="Which targets belong to which logits, and is the loss a mean over all B · T of them?",
        )


def _moves(gradient: torch.Tensor | None, largest: float) -> bool:
    """Whether there is a gradient; a bias of keys has none, because a softmax does not notice it."""
    return gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.abs().max() > 1e-5 * largest)
