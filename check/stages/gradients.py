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
    still = [
        name
        for name, gradient in zip(model.names, got["gradients"], strict=True)
        if gradient is None or not gradient.isfinite().all() or not gradient.abs().max() > 0
    ]
    harmless = [name for name in still if _is_key_bias(subject, model, name)]
    still = [name for name in still if name not in harmless]
    if still:
        raise Failure(
            what="every parameter gets a gradient",
            expected="all of them",
            got=f"none for {', '.join(still)}",
            question="Is each layer used in forward, and nothing detached?",
        )
    leaves = [value.clone().requires_grad_() for value in model.values]
    logits = reference.logits(subject.task, subject.weights(model, leaves), tokens, subject.form)
    F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    largest = max(float(leaf.grad.abs().max()) for leaf in leaves if leaf.grad is not None)
    for name, leaf, gradient in zip(model.names, leaves, got["gradients"], strict=True):
        expected = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        if (0 if gradient is None else gradient - expected).abs().max() > 2e-3 * largest:  # type: ignore[union-attr]
            raise Failure(
                what="every parameter gets the gradient that the formula gives",
                expected="an equal gradient",
                got=f"{name} {off(gradient, expected)}",
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


def _is_key_bias(subject: Subject, model: Model, name: str) -> bool:
    """Whether a parameter is a bias of keys alone, which a softmax does not notice."""
    index = model.names.index(name)
    leaves = [value.clone().requires_grad_() for value in model.values]
    blocks = subject.weights(model, leaves)["blocks"]
    bias = "q_bias" if subject.form.swapped else "k_bias"
    total = sum(block[bias].sum() for block in blocks if bias in block)
    if not isinstance(total, torch.Tensor):
        return False
    (touched,) = torch.autograd.grad(total, [leaves[index]], allow_unused=True)
    return touched is not None and bool((touched != 0).all())
