"""How a model's attention scores differ from the lesson's: by a known bug, a rotation, a factor."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from check.judge import reference
from check.judge.arrangements import Arrangement
from check.judge.learner_file import LearnerFile, Model, close
from check.judge.reference import Form
from check.judge.result import Failure
from check.judge.stages.seen import (
    MOST_PAIRS,
    READINGS,
    WHAT,
    Named,
    Reading,
    Seen,
    example_of,
    forms_of,
    named,
    score_bugs,
    search,
    told_apart,
)
from check.judge.stages.wrongs import (
    BASE,
    WRONG_ROTATIONS,
    Wrong,
    right_forms,
    right_parts,
)

import torch


def explain_scores(seen: Seen, readings: list[Reading], pairs: bool) -> Failure:
    """One token gives the right logits, more do not: the scores differ, or what becomes of them."""
    bases = [form for form in right_forms(seen.learner) if not form.swapped]  # readings have both orders
    bugs = score_bugs(seen)
    found = search(seen, readings, [(each,) for each in bugs], bases, longer=True)
    if found:
        return named(seen, *found)
    factor = _factor(seen, readings[:READINGS], bases)
    if factor:
        return factor
    turned = seen.learner.task.rotary and next(
        (each for each in readings[:12] if _right_unturned(seen, each, bases)), None
    )
    bugs, near = (WRONG_ROTATIONS, [turned]) if turned else (bugs, readings)
    if pairs:
        found = search(seen, near, [*itertools.combinations(bugs, 2)], bases, longer=True, budget=MOST_PAIRS)
    if found:
        return named(seen, *found)
    if turned and (fitted := _rotation(seen, turned, bases)):
        return fitted
    return _region_of_scores(seen, readings[0], bases, turned is not None)


def _right_unturned(seen: Seen, reading: Reading, bases: list[Form]) -> bool:
    """Whether the logits are right where the slowest pair of queries alone is not 0, in a text of two tokens."""
    for layout in ("halves", "neighbours"):
        D = seen.model.sizes.D
        slowest = (D // 2 - 1, D - 1) if layout == "halves" else (D - 2, D - 1)
        batch = seen.batch[:, :2]
        with _zeroed(seen.learner, seen.model, reading.how, slowest):
            got, weights = seen.learner.logits(seen.model, batch), seen.learner.weights(seen.model, how=reading.how)
            forms = [form for form in bases if form.layout == layout]
            if any(close(got, reference.logits(seen.learner.task, weights, batch, form), 5e-3) for form in forms):
                return True
    return False


def _region_of_scores(seen: Seen, reading: Reading, bases: list[Form], turned: bool) -> Failure:
    """Whether scores differ, or what becomes of them, for which queries are made 0; or the rotation."""
    part, hint = (
        "how weights and values are put together",
        "Along which axis is the softmax, and how are heads split and merged?",
    )
    got, expected = with_queries_of_zero(seen.learner, seen.model, seen.batch, reading.how, bases[0])
    if turned:
        part = "the rotation: if only the slowest pair of numbers is turned, the logits are right"
        hint = "Which of q and k are turned, what is the angle of each pair, and which numbers are a pair?"
    elif close(got, expected):
        part = "the scores: if all queries are 0, the logits are right"
        hint = "How do queries and keys become scores: with which biases, and how often is the scale applied?"
    return Failure(
        what=WHAT,
        expected="equal logits at all positions",
        got=f"equal for a text of one token, different for a longer one. The difference is in {part}",
        hint=hint,
    )


def with_queries_of_zero(
    learner: LearnerFile, model: Model, batch: torch.Tensor, how: Arrangement | None, form: Form
) -> tuple[torch.Tensor, torch.Tensor]:
    """The learner's logits, and the reference's, where a reading's queries are 0."""
    with _zeroed(learner, model, how):
        return learner.logits(model, batch), reference.logits(
            learner.task, learner.weights(model, how=how), batch, form
        )


def _zeroed(
    learner: LearnerFile, model: Model, how: Arrangement | None, but: Sequence[int] = ()
) -> AbstractContextManager[None]:
    """All numbers of a reading's queries are 0, `but` these of each head."""
    before = model.values
    leaves = [value.clone().requires_grad_() for value in before]
    blocks = learner.weights(model, leaves, how)["blocks"]
    gone = [number for number in range(model.sizes.D) if number not in but]
    total = sum(block[name][:, gone].sum() for block in blocks for name in ("q", "q_bias") if name in block)
    touched = torch.autograd.grad(total, leaves, allow_unused=True)
    zeroed = [
        value if grad is None else torch.where(grad != 0, 0.0, value)
        for value, grad in zip(before, touched, strict=True)
    ]
    return learner.with_values(model, zeroed)


def _fit(
    seen: Seen, points: list[tuple[Reading, Form]], grid: list[float], form: Callable[[Form, float], Form]
) -> tuple[tuple[Reading, Form], float]:
    """The point, and the number, whose form comes nearest to the learner's logits: on a grid, then next to it."""

    def error(point: tuple[Reading, Form], number: float) -> float:
        return float((seen.expected(point[0], form(point[1], number), longer=True) - seen.got).abs().max())

    point, best = min(itertools.product(points, grid), key=lambda each: error(*each))
    ratio = grid[1] / grid[0]
    low, high = best / ratio, best * ratio
    for _ in range(50):
        one, two = low ** (2 / 3) * high ** (1 / 3), low ** (1 / 3) * high ** (2 / 3)
        low, high = (low, two) if error(point, one) < error(point, two) else (one, high)
    return point, low


ANGLES: list[tuple[str, str, str, list[float]]] = [  # what of the form is fitted, and on which grid
    ("base", "with frequencies of base {:.4g}", BASE, [10 ** (n / 6) for n in range(6, 43)]),
    (
        "step",
        "with angles {:.3g} times as large",
        "By how much do angles grow from one position to the next?",
        [2 ** (n / 2) for n in range(-6, 7)],
    ),
]


def _with(part: str, form: Form, number: float) -> Form:
    changes: dict[str, Any] = {part: number}
    return dataclasses.replace(form, **changes)


def _rotation(seen: Seen, reading: Reading, bases: list[Form]) -> Failure | None:
    """Angles of another base or step, of queries, keys or both, by fitting it."""
    halves: list[list[Wrong]] = [[], *([each] for each in WRONG_ROTATIONS if each.changes.get("rotated") in ("q", "k"))]
    for (part, name, hint, grid), also in itertools.product(ANGLES, halves):
        points = [(reading, form) for form in forms_of(also, bases)]
        (_, form), number = _fit(seen, points, grid, functools.partial(_with, part))
        form = _with(part, form, number)
        if seen.agrees(reading, form, longer=True):
            found = named(seen, (*also, Wrong(name.format(number), hint, {})), form, reading)
            found.changes[part] = number
            return found
    return None


def _factor(seen: Seen, readings: list[Reading], bases: list[Form]) -> Failure | None:
    """Scores of another scale, by fitting it."""
    sizes = seen.model.sizes
    right = sizes.D**-0.5
    bases = [*dict.fromkeys(dataclasses.replace(base, scale=right) for base in bases)]

    points = [*itertools.product(readings, bases)]
    (each, base), low = _fit(
        seen, points, [2 ** (n / 2) for n in range(-12, 13)], lambda base, x: dataclasses.replace(base, scale=right * x)
    )
    form = dataclasses.replace(base, scale=right * low)
    if not seen.agrees(each, form, longer=True):
        return None
    hint = f"What divides the scores: √head_size is {1 / right:.3g} here, yours {1 / right / low:.3g}"
    numbers = {
        "(head_size / 2)²": sizes.D**2 / 4,
        "3 · head_size": 3 * sizes.D,
        "2 · head_size": 2 * sizes.D,
        "T": sizes.T,
        "n_head": sizes.H,
    }
    likely = [name for name, n in numbers.items() if abs(right * low * math.sqrt(n) - 1) < 0.01]
    return Named(
        what=WHAT,
        expected="scores divided by √head_size",
        got=f"the lesson's model with scores {low:.3g} times as large",
        hint=hint + "".join(f", which is √({name})" for name in likely) + "?",
        example=example_of(seen, each, form),
    )


def logits_scaled(seen: Seen, readings: list[Reading]) -> Failure | None:
    """Logits of another scale, by fitting it."""
    base = right_parts(seen.learner)[0]
    for each in told_apart(seen, readings):
        expected = seen.expected(each, base)
        factor = float((seen.got_alone * expected).sum() / expected.square().sum())
        if factor > 1e-3 and close(seen.got_alone / factor, expected):
            return Named(
                what=WHAT,
                expected="logits as the output layer gives them",
                got=f"the lesson's model with logits {factor:.3g} times as large",
                hint="What is multiplied by a number, before or after the last layer?",
            )
    return None
