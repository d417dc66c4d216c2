"""How a model differs from the lesson's: by known bugs, a rotation, a factor; or the part in which it differs."""

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from check.judge import reference
from check.judge.arrangements import Arrangement
from check.judge.learner_file import LearnerFile, close
from check.judge.reference import Form, Weights
from check.judge.result import Failure
from check.judge.stages.seen import MOST_PAIRS, READINGS, WHAT, Named, Reading, Seen, forms_of
from check.judge.stages.wrongs import BASE, WRONG_PARTS, WRONG_ROTATIONS, Wrong, of_change, right_forms

import torch


def explain(seen: Seen, hows: Sequence[Arrangement], fitting: Sequence[Arrangement]) -> Failure:
    """Why no reading of the parameters gives the learner's logits. `fitting`: those that do for one token."""
    idle = seen.idle()
    readings = seen.read(fitting or hows)
    if fitting:
        found: Failure | None = _scores(seen, readings, pairs=not idle)
    else:
        found = _parts(seen, readings, pairs=not idle) or _logits_scaled(seen, readings)
    if idle:
        return _with_idle(_modules(idle, seen.model.names), found if isinstance(found, Named) else None)
    if found:
        return found
    part, hint = _differing_part(seen, seen.told_apart(readings))
    return Failure(
        what=WHAT,
        expected="equal logits, for some assignment of your parameters",
        got=f"different, already for a text of one token. The difference is in {part}",
        hint=hint,
    )


def _modules(idle: list[str], names: list[str]) -> list[str]:
    """Parameters, or modules where all of theirs are meant."""
    used = [f"{name}." for name in names if name not in idle]
    found = []
    for name in idle:
        parts = name.split(".")
        starts = (".".join(parts[: n + 1]) for n in range(len(parts)))
        found.append(next(start for start in starts if not any(each.startswith(f"{start}.") for each in used)))
    return [*dict.fromkeys(found)]


def _with_idle(idle: list[str], bug: Named | None) -> Failure:
    few = ", ".join(idle[:4]) + f" and {len(idle) - 4} more" * (len(idle) > 4)
    hint = "Where should forward use what changes nothing, and what does it use instead?"
    return Named(
        changes=bug.changes if bug else None,
        what="the logits depend on every parameter",
        expected="logits that depend on each",
        got=f"{few} change{'s' * (len(idle) == 1)} nothing" + (f": {bug.got}" if bug else ""),
        hint=(bug and bug.hint) or hint,
        example=bug.example if bug else "",
    )


# Not even one token gives the right logits.


def _parts(seen: Seen, readings: list[Reading], pairs: bool) -> Failure | None:
    """A bug of the layers, or two, and perhaps one of the scores."""
    distinct, bases = seen.told_apart(readings), seen.parts
    bugs = [*of_change(seen.learner), *WRONG_PARTS]
    singles = [(each,) for each in bugs if distinct and seen.matters(distinct[0], each)]
    found = seen.search(distinct, [(), *singles], bases, longer=False)
    if not found and pairs and singles:
        found = seen.search(*seen.likeliest(distinct, singles), bases, longer=False, budget=MOST_PAIRS)
    if not found:
        return None
    bugs, form, one = found
    fitting = [each for each in readings if seen.agrees(each, form)][:60]
    alike = [each for each in singles if any(seen.agrees(one, form) for form in forms_of(each, bases))]
    extras = [(), *((each,) for each in seen.score_bugs())]
    more = [(*each, *extra) for each in (alike if len(bugs) == 1 else [bugs]) for extra in extras]
    whole = seen.search(fitting, more, list(right_forms(seen.learner)), longer=True)
    explained = seen.named(*(whole or found))
    explained.explains_all = whole is not None
    return explained


def _logits_scaled(seen: Seen, readings: list[Reading]) -> Failure | None:
    """Logits of another scale, by fitting it."""
    for each in seen.told_apart(readings):
        expected = seen.expected(each, seen.parts[0])
        factor = float((seen.got_alone * expected).sum() / expected.square().sum())
        if factor > 1e-3 and close(seen.got_alone / factor, expected):
            return Named(
                what=WHAT,
                expected="logits as the output layer gives them",
                got=f"the lesson's model with logits {factor:.3g} times as large",
                hint="What is multiplied by a number, before or after the last layer?",
            )
    return None


PARTS = {
    "attention": ("attention", "Are values, heads and projection put together as in the lesson?"),
    "activation": (
        "the activation: if all its inputs are large, the logits are right",
        "What is the formula of the activation? "
        "GELU is x · Φ(x), or 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))).",
    ),
    "mlp": ("the feed-forward part", "Which layers does the feed-forward part have, and in which order?"),
    "attention mlp": ("how a block's parts are put together", "In which order are the parts, the norms and the sums?"),
}


def _differing_part(seen: Seen, readings: list[Reading]) -> tuple[str, str]:
    """The part without which a model agrees: each is made transparent in turn, under several readings."""
    task = seen.learner.task
    there = ["attention"] * task.attention + ["activation", "mlp"] * bool(task.feed_forward)
    for parts, answer in PARTS.items():
        if {*parts.split()} <= {*there} and any(_agrees_without(seen, each, parts) for each in readings[:12]):
            return answer
    outside = ["the embeddings"] + ["the norms"] * task.norms + ["the sums"] * task.skips + ["the output layer"]
    hint = "What happens before the first block, between parts, and after the last block?"
    return f"{', '.join(outside[:-1])} or {outside[-1]}", hint


def _agrees_without(seen: Seen, reading: Reading, parts: str) -> bool:
    """Whether the model agrees where these parts hand on what they read, or add 0 to it."""
    learner, model, before = seen.learner, seen.model, seen.model.values
    leaves = [value.clone().requires_grad_() for value in before]
    weights = learner.weights(model, leaves, reading.how)
    pairs = [
        (block[name], torch.as_tensor(target).expand_as(block[name]))
        for block in weights["blocks"]
        for name, target in _transparent(learner, block, parts).items()
        if name in block
    ]
    if not pairs:
        return False
    touched = torch.autograd.grad(sum(value.sum() for value, _ in pairs), leaves, allow_unused=True, retain_graph=True)
    wanted = torch.autograd.grad(sum((value * target).sum() for value, target in pairs), leaves, allow_unused=True)
    values = [
        value if place is None or target is None else torch.where(place != 0, target, value)
        for value, place, target in zip(before, touched, wanted, strict=True)
    ]
    with learner.with_values(model, values):
        logits = learner.logits(model, seen.alone)
    changed = learner.weights(model, values, reading.how)
    differences = [logits - reference.logits(learner.task, changed, seen.alone, form) for form in seen.parts]
    # A feed-forward part that returns its input adds a number to it, twice if it is called twice.
    return any(bool((each - each[:1]).abs().max() < 1e-3 * logits.abs().max()) for each in differences)


def _transparent(learner: LearnerFile, block: Weights, parts: str) -> dict:
    """Weights with which parts of a block add 0, where there are skips; else hand on what they read."""
    if parts == "activation":  # all that it reads is far from where it bends
        return {"widen_bias": 20.0}
    values: dict = {}
    if "attention" in parts and learner.task.skips:
        values |= {"projection": 0.0, "projection_bias": 0.0}
    elif "attention" in parts:
        heads, width, channels = block["v"].shape
        values |= {"v": torch.eye(heads * width, channels).view(heads, width, channels), "v_bias": 0.0}
        values |= {"projection": torch.eye(channels), "projection_bias": 0.0}
    if "mlp" in parts and learner.task.skips:
        values |= {"narrow": 0.0, "narrow_bias": 0.0}
    elif "mlp" in parts:  # far from where the activation bends
        values |= {"widen": torch.eye(*block["widen"].shape), "widen_bias": 20.0}
        values |= {"narrow": torch.eye(*block["widen"].shape[::-1]), "narrow_bias": -20.0}
    return values


# One token gives the right logits, more do not: the scores differ, or what becomes of them.


def _scores(seen: Seen, readings: list[Reading], pairs: bool) -> Failure:
    bases = [form for form in right_forms(seen.learner) if not form.swapped]  # readings have both orders
    bugs = seen.score_bugs()
    found = seen.search(readings, [(each,) for each in bugs], bases, longer=True)
    if found:
        return seen.named(*found)
    factor = _factor(seen, readings[:READINGS], bases)
    if factor:
        return factor
    right = (each for each in readings[:12] if _right_unturned(seen, each, bases))
    turned = next(right, None) if seen.learner.task.rotary else None
    bugs, near = (WRONG_ROTATIONS, [turned]) if turned else (bugs, readings)
    if pairs:
        found = seen.search(near, [*itertools.combinations(bugs, 2)], bases, longer=True, budget=MOST_PAIRS)
    if found:
        return seen.named(*found)
    if turned and (fitted := _rotation(seen, turned, bases)):
        return fitted
    return _region_of_scores(seen, readings[0], bases, turned is not None)


def _right_unturned(seen: Seen, reading: Reading, bases: list[Form]) -> bool:
    """Whether the logits are right where the slowest pair of queries alone is not 0, in a text of two tokens."""
    D, learner, batch = seen.model.sizes.D, seen.learner, seen.batch[:, :2]
    for layout, slowest in (("halves", (D // 2 - 1, D - 1)), ("neighbours", (D - 2, D - 1))):
        with seen.zeroed(reading.how, slowest):
            got, weights = learner.logits(seen.model, batch), learner.weights(seen.model, how=reading.how)
            forms = [form for form in bases if form.layout == layout]
            if any(close(got, reference.logits(learner.task, weights, batch, form), 5e-3) for form in forms):
                return True
    return False


def _region_of_scores(seen: Seen, reading: Reading, bases: list[Form], turned: bool) -> Failure:
    """Whether scores differ, or what becomes of them, for which queries are made 0; or the rotation."""
    got, expected = seen.with_queries_of_zero(reading, bases[0])
    if turned:
        part = "the rotation: if only the slowest pair of numbers is turned, the logits are right"
        hint = "Which of q and k are turned, what is the angle of each pair, and which numbers are a pair?"
    elif close(got, expected):
        part = "the scores: if all queries are 0, the logits are right"
        hint = "How do queries and keys become scores: with which biases, and how often is the scale applied?"
    else:
        part = "how weights and values are put together"
        hint = "Along which axis is the softmax, and how are heads split and merged?"
    return Failure(
        what=WHAT,
        expected="equal logits at all positions",
        got=f"equal for a text of one token, different for a longer one. The difference is in {part}",
        hint=hint,
    )


def _fit(seen: Seen, points: Iterable[tuple[Reading, Form]], part: str, grid: list[float]) -> tuple[Reading, Form]:
    """The reading and the form, with a number for this part, that come nearest: on a grid, then next to it."""

    def fitted(form: Form, number: float) -> Form:
        changes: dict[str, Any] = {part: number}
        return dataclasses.replace(form, **changes)

    def error(point: tuple[Reading, Form], number: float) -> float:
        return float((seen.expected(point[0], fitted(point[1], number), longer=True) - seen.got).abs().max())

    point, best = min(itertools.product(points, grid), key=lambda each: error(*each))
    ratio = grid[1] / grid[0]
    low, high = best / ratio, best * ratio
    for _ in range(50):
        one, two = low ** (2 / 3) * high ** (1 / 3), low ** (1 / 3) * high ** (2 / 3)
        low, high = (low, two) if error(point, one) < error(point, two) else (one, high)
    return point[0], fitted(point[1], low)


STEP = "By how much do angles grow from one position to the next?"
ANGLES: list[tuple[str, str, str, list[float]]] = [  # what of the form is fitted, and on which grid
    ("base", "with frequencies of base {:.4g}", BASE, [10 ** (n / 6) for n in range(6, 43)]),
    ("step", "with angles {:.3g} times as large", STEP, [2 ** (n / 2) for n in range(-6, 7)]),
]


def _rotation(seen: Seen, reading: Reading, bases: list[Form]) -> Failure | None:
    """Angles of another base or step, of queries, keys or both, by fitting it."""
    halves: list[list[Wrong]] = [[], *([each] for each in WRONG_ROTATIONS if each.changes.get("rotated") in ("q", "k"))]
    for (part, name, hint, grid), also in itertools.product(ANGLES, halves):
        _, form = _fit(seen, [(reading, form) for form in forms_of(also, bases)], part, grid)
        if seen.agrees(reading, form, longer=True):
            number = getattr(form, part)
            found = seen.named((*also, Wrong(name.format(number), hint, {})), form, reading)
            found.changes[part] = number
            return found
    return None


def _factor(seen: Seen, readings: list[Reading], bases: list[Form]) -> Failure | None:
    """Scores of another scale, by fitting it."""
    sizes = seen.model.sizes
    right = sizes.D**-0.5
    bases = [*dict.fromkeys(dataclasses.replace(base, scale=right) for base in bases)]
    grid = [right * 2 ** (n / 2) for n in range(-12, 13)]
    reading, form = _fit(seen, itertools.product(readings, bases), "scale", grid)
    if not seen.agrees(reading, form, longer=True):
        return None
    scale = float(form.scale)
    numbers = {
        "(head_size / 2)²": sizes.D**2 / 4,
        "3 · head_size": 3 * sizes.D,
        "2 · head_size": 2 * sizes.D,
        "T": sizes.T,
        "n_head": sizes.H,
    }
    likely = [f", which is √({name})" for name, n in numbers.items() if abs(scale * math.sqrt(n) - 1) < 0.01]
    return Named(
        what=WHAT,
        expected="scores divided by √head_size",
        got=f"the lesson's model with scores {scale / right:.3g} times as large",
        hint=f"What divides the scores: √head_size is {1 / right:.3g} here, yours {1 / scale:.3g}{''.join(likely)}?",
        example=seen.example(reading, form),
    )
