"""Transformer(vocab_size, context_size, hidden_size, n_layer, n_head, dropout), put together from one's own pieces.

Positions, norms, activations and parameters are free; the check looks at what the model does, and what it can learn.
"""

import math

from check.matching import Sizes
from check.result import Failure
from check.subject import Subject
from check.suites import encoder, task

import torch
from torch.nn import functional as F

SYMBOLS, LENGTH = 8, 6
STEPS = 500
LEAK = 0.02  # nats below ln V that chance does not reach


def reversal(subject: Subject) -> str:
    """Trained on random symbols followed by their own reverse, it knows the second half, and not the first."""
    sizes = Sizes(V=SYMBOLS, C=32, H=2, D=16, T=2 * LENGTH - 1, L=2)
    model = subject.build(sizes)
    subject.session.ask("learn_reversal", model=model.number, symbols=SYMBOLS, length=LENGTH, steps=STEPS, seed=1)
    first = torch.randint(SYMBOLS, (2000, LENGTH), generator=subject.generator(51))
    rows = torch.cat([first, first.flip(1)], dim=1)  # (B, T + 1)
    logits, targets = subject.logits(model, rows[:, :-1]), rows[:, 1:]
    known = LENGTH - 1  # from here on the target is a symbol that was shown
    blind = F.cross_entropy(logits[:, :known].flatten(0, 1), targets[:, :known].flatten()).item()
    accuracy = (logits[:, known:].argmax(dim=-1) == targets[:, known:]).float().mean().item()
    if not blind > math.log(SYMBOLS) - LEAK:
        raise Failure(
            what="the first half, which is random, cannot be predicted",
            expected=f"a loss of at least ln {SYMBOLS} = {math.log(SYMBOLS):.3f}",
            got=f"{blind:.3f}",
            question="Which way is there for a later symbol to reach an earlier position?",
        )
    if not accuracy >= 0.999:
        raise Failure(
            what=f"{STEPS} steps learn to reverse a sequence",
            expected="at least 99.9% of the second half right",
            got=f"{accuracy:.1%}",
            question="Can a position look back to any earlier one, and does it know where each stands?",
        )
    return f"second half {accuracy:.2%} right; first half {blind:.3f} nats, ln {SYMBOLS} = {math.log(SYMBOLS):.3f}"


STAGES = [task.identity, encoder.interface, task.shapes, task.steadiness, task.causality, task.position, reversal]
