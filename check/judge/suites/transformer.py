"""Transformer(vocab_size, context_size, hidden_size, n_layer, n_head, dropout), put together from one's own pieces.

Positions, norms, activations, parameters and the scale of scores are free; the check tests what the model does, and
what it can learn.
"""

import dataclasses
import math

from check.judge.learner_file import LearnerFile, close
from check.judge.matching import Sizes
from check.judge.result import Failure
from check.judge.suites import encoder, modules, task

import torch
from torch.nn import functional as F

LEAK = 0.02  # nats below ln V that chance does not reach
PORTION = 50  # steps of a hint: no machine is so slow that one of them is too long
PATIENCE, PROGRESS = 12, 0.05  # portions within which the accuracy of a model that learns at all rises by so much


@dataclasses.dataclass(frozen=True)
class Run:
    """A training on random symbols followed by their own reverse."""

    symbols: int
    length: int
    width: int
    rate: float
    steps: int
    needed: float  # accuracy in the second half; without looking back it is 0.40 of 5 symbols, 0.27 of 8

    @property
    def sizes(self) -> Sizes:
        return Sizes(V=self.symbols, C=self.width, H=2, D=self.width // 2, T=2 * self.length - 1, L=2)


ABSOLUTE = Run(symbols=5, length=4, width=16, rate=6e-3, steps=1050, needed=0.95)  # right files need 350 steps at most
RELATIVE = Run(symbols=8, length=6, width=32, rate=3e-3, steps=1500, needed=0.5)  # 850 at most


def reversal(learner: LearnerFile) -> str:
    """Trained on random symbols followed by their own reverse, it knows the second half, and not the first."""
    relative = _is_relative(learner)
    run = RELATIVE if relative else ABSOLUTE
    blind, accuracy, taken = _trained(learner, run)
    chance = f"ln {run.symbols} = {math.log(run.symbols):.3f}"
    if not blind > math.log(run.symbols) - LEAK:
        raise Failure(
            what="the first half, which is random, cannot be predicted",
            expected=f"a loss of at least {chance}",
            got=f"{blind:.3f}",
            hint="How can a later symbol reach an earlier position?",
        )
    if not accuracy >= run.needed:
        raise Failure(
            what=f"{taken} steps learn to reverse a sequence",
            expected=f"at least {run.needed:.1%} of the second half right",
            got=f"{accuracy:.1%}",
            hint="Can a position look back to any earlier one, and does it know where each is?",
        )
    slow = f"; relative positions learn this slowly, {run.needed:.0%} are enough" if relative else ""
    return f"{taken} steps: second half {accuracy:.2%} right; first half {blind:.3f} nats, {chance}{slow}"


def _trained(learner: LearnerFile, run: Run) -> tuple[float, float, int]:
    """Loss and accuracy of a model trained until it knows what is needed or learns no more, and the steps taken."""
    model = learner.build(run.sizes)
    first = torch.randint(run.symbols, (2000, run.length), generator=learner.generator(51))
    rows = torch.cat([first, first.flip(1)], dim=1)  # (B, T + 1)
    how = {"model": model.number, "symbols": run.symbols, "length": run.length, "rate": run.rate, "steps": run.steps}
    found: list[float] = []
    for start in range(0, run.steps, PORTION):
        learner.process.ask("learn_reversal", start=start, count=PORTION, **how)
        blind, accuracy = _judged(learner.logits(model, rows[:, :-1]), rows[:, 1:])
        found.append(accuracy)
        if accuracy >= run.needed or _stalls(found):
            break
    return blind, accuracy, start + PORTION


def _stalls(found: list[float]) -> bool:
    return len(found) >= PATIENCE and found[-1] < found[-PATIENCE] + PROGRESS


def _is_relative(learner: LearnerFile) -> bool:
    """Whether one block cannot tell at which position a token is when all are equal."""
    logits = learner.logits(learner.variant(L=1), torch.full((1, learner.small_sizes.T), 3))[0]  # (T, V)
    return close(logits, logits[:1].expand_as(logits), 1e-5)


def _judged(logits: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
    """The loss in the first half, and the accuracy in the second, which begins where a target was shown before."""
    known = targets.shape[1] // 2
    blind = F.cross_entropy(logits[:, :known].flatten(0, 1), targets[:, :known].flatten()).item()
    return blind, (logits[:, known:].argmax(dim=-1) == targets[:, known:]).float().mean().item()


STAGES = [
    task.identity,
    modules.interface,
    task.shapes,
    task.steadiness,
    task.causality,
    task.position,
    encoder.layers,
    reversal,
]
