"""Transformer(vocab_size, context_size, hidden_size, n_layer, n_head, dropout), put together from one's own pieces.

Positions, norms, activations, parameters and the scale of scores are free; the check looks at what the model does, and
what it can learn.
"""

import dataclasses
import math

from check.matching import Sizes
from check.result import Failure
from check.subject import Model, Subject, close
from check.suites import encoder, task

import torch
from torch.nn import functional as F

SYMBOLS, LENGTH = 8, 6
RUNS = ((3e-3, 500), (1e-3, 1500))  # learning rate and steps: post-LN may need the second
RELATIVE = ((3e-3, 1500),)  # relative positions learn this slowly
PORTION = 50  # steps of a question: no machine is so slow that one of them is too long
LEARNED, SLOWLY = 0.95, 0.5  # of the second half; without looking back 0.27
LEAK = 0.02  # nats below ln V that chance does not reach


def reversal(subject: Subject) -> str:
    """Trained on random symbols followed by their own reverse, it knows the second half, and not the first."""
    sizes = Sizes(V=SYMBOLS, C=32, H=2, D=16, T=2 * LENGTH - 1, L=2)
    first = torch.randint(SYMBOLS, (2000, LENGTH), generator=subject.generator(51))
    rows = torch.cat([first, first.flip(1)], dim=1)  # (B, T + 1)
    relative = _is_relative(subject)
    needed = SLOWLY if relative else LEARNED
    for number, (rate, steps) in enumerate(RELATIVE if relative else RUNS):
        model = subject.build(sizes, seed=number)
        blind, accuracy, taken = _trained(subject, model, rows, rate, steps, needed)
        if accuracy >= needed:
            break
    if not blind > math.log(SYMBOLS) - LEAK:
        raise Failure(
            what="the first half, which is random, cannot be predicted",
            expected=f"a loss of at least ln {SYMBOLS} = {math.log(SYMBOLS):.3f}",
            got=f"{blind:.3f}",
            question="Which way is there for a later symbol to reach an earlier position?",
        )
    if not accuracy >= needed:
        raise Failure(
            what=f"{steps} steps learn to reverse a sequence",
            expected=f"at least {needed:.1%} of the second half right",
            got=f"{accuracy:.1%}",
            question="Can a position look back to any earlier one, and does it know where each stands?",
        )
    chance = f"ln {SYMBOLS} = {math.log(SYMBOLS):.3f}"
    slow = f"; relative positions learn this slowly, {SLOWLY:.0%} are enough" if relative else ""
    return f"{taken} steps: second half {accuracy:.2%} right; first half {blind:.3f} nats, {chance}{slow}"


def _trained(
    subject: Subject, model: Model, rows: torch.Tensor, rate: float, steps: int, needed: float
) -> tuple[float, float, int]:
    """Loss and accuracy of a model that is trained until it knows what is needed, and the steps taken."""
    run = {"model": model.number, "symbols": SYMBOLS, "length": LENGTH, "rate": rate, "steps": steps}
    for start in range(0, steps, PORTION):
        subject.session.ask("learn_reversal", start=start, count=PORTION, **run)
        blind, accuracy = _judged(subject.logits(model, rows[:, :-1]), rows[:, 1:])
        if accuracy >= needed:
            break
    return blind, accuracy, start + PORTION


def _is_relative(subject: Subject) -> bool:
    """Whether one block cannot tell at which position a token is when all are equal."""
    sizes = dataclasses.replace(subject.small_sizes, L=1)
    logits = subject.logits(subject.fill(subject.build(sizes)), torch.full((1, sizes.T), 3))[0]  # (T, V)
    return close(logits, logits[:1].expand_as(logits), 1e-5)


def _judged(logits: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """The loss in the first half, and the accuracy in the second, which begins where a target was shown before."""
    known = LENGTH - 1
    blind = F.cross_entropy(logits[:, :known].flatten(0, 1), targets[:, :known].flatten()).item()
    return blind, (logits[:, known:].argmax(dim=-1) == targets[:, known:]).float().mean().item()


STAGES = [
    task.identity,
    encoder.interface,
    task.shapes,
    task.steadiness,
    task.causality,
    task.position,
    encoder.layers,
    reversal,
]
