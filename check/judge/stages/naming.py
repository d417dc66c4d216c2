"""How a model differs from the lesson's: by a known bug, by two bugs, by a factor; or the part in which it differs."""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from check.judge import reference
from check.judge.learner_file import LearnerFile, Model, close
from check.judge.matching import Arrangement, Unreadable
from check.judge.reference import Form, Weights
from check.judge.result import Failure
from check.judge.stages.wrongs import (
    BASE,
    SEES_AHEAD,
    WRONG_MASKS,
    WRONG_PARTS,
    WRONG_ROTATIONS,
    WRONG_SCORES,
    Wrong,
    right_forms,
    right_parts,
)

import torch

MOST, MOST_PAIRS = 2500, 1200  # comparisons that a search may take
READINGS = 4  # of the parameters, with which pairs of bugs are tried
WHAT = "the same weights give the lesson's logits"


class Named(Failure):
    """A bug that explains all logits, and what it changes of the form."""

    def __init__(self, changes: dict | None = None, **parts: Any):
        super().__init__(**parts)
        self.changes = changes or {}


class Reading(NamedTuple):
    """One way to read a learner's parameters."""

    how: Arrangement
    weights: Weights


@dataclasses.dataclass
class Seen:
    """A learner's logits for texts of one token (alone) and for longer ones."""

    learner: LearnerFile
    model: Model
    alone: torch.Tensor
    got_alone: torch.Tensor
    batch: torch.Tensor
    got: torch.Tensor
    values: list[torch.Tensor] = dataclasses.field(init=False)  # the model's, but for vectors that are not used

    def __post_init__(self) -> None:
        self.values = self.model.values

    def expected(self, reading: Reading, form: Form, longer: bool = False) -> torch.Tensor:
        return reference.logits(self.learner.task, reading.weights, self.batch if longer else self.alone, form)

    def agrees(self, reading: Reading, form: Form, longer: bool = False) -> bool:
        """Whether a form of the reference gives these logits."""
        try:
            return close(self.got if longer else self.got_alone, self.expected(reading, form, longer))
        except (KeyError, RuntimeError, IndexError):
            return False

    def read(self, hows: Iterable[Arrangement]) -> list[Reading]:
        """The readings that the parameters allow: those that fit the gradients of one token, if any do."""
        hows = [*itertools.islice(hows, 2000)]
        slopes = [
            torch.zeros_like(v) if g is None else g for v, g in zip(self.model.values, self._slopes(), strict=True)
        ]
        fitting = [how for how, weights in self._weights(hows, slopes) if self._possible(weights)]
        return [Reading(*each) for each in self._weights(fitting or hows, self.values)]

    def _slopes(self) -> list:
        return self.learner.process.ask(
            "gradients", model=self.model.number, tokens=self.alone, targets=self.alone.flip(0)
        )["gradients"]

    def _weights(self, hows: Iterable[Arrangement], values: list) -> Iterator[tuple[Arrangement, Weights]]:
        for how in hows:
            with contextlib.suppress(Unreadable, RuntimeError, IndexError):
                yield how, self.learner.weights(self.model, values, how)

    def _possible(self, slopes: Weights) -> bool:
        """Whether gradients of one token are 0 where they should be: of queries, keys and absent tokens."""
        idle = [block[name] for block in slopes["blocks"] for name in "qk" if name in block]
        if not self.learner.task.tied:
            absent = [token for token in range(self.model.sizes.V) if token not in self.alone]
            idle.append(slopes["token"][absent])
        largest = max(float(value.abs().max()) for value in (slopes["token"], slopes["head"]))
        return all(bool(value.abs().max() <= 1e-6 * largest) for value in idle)

    def idle(self) -> list[str]:
        """The parameters that no gradient reaches; none where none reaches any. Vectors among them count as 0."""
        answer = self.learner.process.ask("gradients", model=self.model.number, tokens=self.batch, targets=self.batch)
        lost = [gradient is None for gradient in answer["gradients"]]
        if not all(lost):
            self.values = [
                0 * v if gone and v.squeeze().ndim < 2 else v for v, gone in zip(self.values, lost, strict=True)
            ]
        return [] if all(lost) else [name for name, gone in zip(self.model.names, lost, strict=True) if gone]

    def differs_by_length(self) -> bool:
        """Whether the logits of a text are others where more comes after it."""
        return not close(self.learner.logits(self.model, self.batch[:, :3]), self.got[:, :3])


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
    return found or _region(seen, readings)


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
    hint = "Where should forward use what changes nothing, and what does it use instead?"
    return Named(
        changes=bug.changes if bug else None,
        what="the logits depend on every parameter",
        expected="logits that depend on each",
        got=f"{_few(idle)} change{'s' * (len(idle) == 1)} nothing" + (f": {bug.got}" if bug else ""),
        hint=(bug and bug.hint) or hint,
        example=bug.example if bug else "",
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + f" and {len(names) - 4} more" * (len(names) > 4)


def _forms(wrongs: Sequence[Wrong], bases: Iterable[Form]) -> list[Form]:
    """The right forms with these bugs; none where one undoes another."""
    changes = [each.changes for each in wrongs]
    merged = {name: value for each in changes for name, value in each.items()}
    if len(merged) < sum(map(len, changes)):
        return []
    return [*dict.fromkeys(dataclasses.replace(base, **merged) for base in bases)]


def _search(seen: Seen, readings: list[Reading], combinations, bases: list[Form], longer: bool, budget: int = MOST):
    """The first combination of bugs that gives the learner's logits, its form and the weights; or None."""
    for each, combination in itertools.product(readings, combinations):
        for form in _forms(combination, bases):
            budget -= 1
            if seen.agrees(each, form, longer):
                return combination, form, each
            if budget < 0:
                return None
    return None


def _parts(seen: Seen, readings: list[Reading], pairs: bool) -> Failure | None:
    """Not even one token gives the right logits: a bug of the layers, or two, and perhaps one of the scores."""
    distinct = _told_apart(seen, readings)
    bases = right_parts(seen.learner)
    singles = [(each,) for each in WRONG_PARTS if distinct and _matters(seen, distinct[0], each)]
    found = _search(seen, distinct, [(), *singles], bases, longer=False)
    if not found and pairs and singles:
        found = _search(seen, *_likeliest(seen, distinct, singles), bases, longer=False, budget=MOST_PAIRS)
    if not found:
        return None
    wrongs, form, _ = found
    fitting = [each for each in readings if seen.agrees(each, form)][:60]
    more = [(*wrongs, *extra) for extra in ((), *((each,) for each in _score_bugs(seen)))]
    whole = _search(seen, fitting, more, list(right_forms(seen.learner)), longer=True)
    return _named(seen, *whole) if whole else _named(seen, *found)


def _likeliest(seen: Seen, distinct: list[Reading], singles: Sequence[tuple[Wrong, ...]]) -> tuple[list[Reading], list]:
    """The readings with which one bug alone comes nearest to the learner's logits, and pairs, the likeliest first."""
    base, got = right_parts(seen.learner)[0], seen.got_alone.flatten()

    def closeness(reading: Reading, single: tuple[Wrong, ...]) -> float:
        logits = (seen.expected(reading, form).flatten() for form in _forms(single, [base]))
        return max(float(torch.cosine_similarity(each, got, dim=0)) for each in logits)

    found = [[closeness(reading, single) for single in singles] for reading in distinct[: 2 * READINGS]]
    best = sorted(range(len(found)), key=lambda i: max(found[i]), reverse=True)[: READINGS // 2]
    order = sorted(range(len(singles)), key=found[best[0]].__getitem__, reverse=True)
    pairs = sorted(itertools.combinations(range(len(singles)), 2), key=sum)
    return [distinct[i] for i in best], [singles[order[a]] + singles[order[b]] for a, b in pairs]


def _told_apart(seen: Seen, readings: list[Reading]) -> list[Reading]:
    """One of all readings that are alike for one token."""
    base, found = right_parts(seen.learner)[0], dict[tuple, Reading]()
    for each in readings:
        logits = seen.expected(each, base)[:2, 0]
        found.setdefault(tuple((logits * 1e3).round().flatten().tolist()), each)
    return [*found.values()]


def _matters(seen: Seen, reading: Reading, each: Wrong) -> bool:
    """Whether a task has what a bug is about."""
    base = right_parts(seen.learner)[0]
    try:
        return not close(
            seen.expected(reading, dataclasses.replace(base, **each.changes)), seen.expected(reading, base)
        )
    except (KeyError, RuntimeError):
        return False


def _score_bugs(seen: Seen) -> list[Wrong]:
    task = seen.learner.task
    if not task.attention:
        return []
    return [
        *(WRONG_MASKS if seen.differs_by_length() else []),
        *WRONG_SCORES,
        *(WRONG_ROTATIONS if task.rotary else []),
    ]


def _scores(seen: Seen, readings: list[Reading], pairs: bool) -> Failure:
    """One token gives the right logits, more do not: the scores differ, or what becomes of them."""
    bases = [form for form in right_forms(seen.learner) if not form.swapped]  # readings have both orders
    bugs = _score_bugs(seen)
    found = _search(seen, readings, [(each,) for each in bugs], bases, longer=True)
    if found:
        return _named(seen, *found)
    factor = _factor(seen, readings[:READINGS], bases)
    if factor:
        return factor
    turned = seen.learner.task.rotary and next(
        (each for each in readings[:12] if _right_unturned(seen, each, bases)), None
    )
    bugs, near = (WRONG_ROTATIONS, [turned]) if turned else (bugs, readings)
    if pairs:
        found = _search(seen, near, [*itertools.combinations(bugs, 2)], bases, longer=True, budget=MOST_PAIRS)
    if found:
        return _named(seen, *found)
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


ANGLES: list[tuple[str, str, Callable[[Form, float], Form], list[float]]] = [  # what is fitted, on which grid
    (
        "with frequencies of base {:.4g}",
        BASE,
        lambda form, number: dataclasses.replace(form, base=number),
        [10 ** (n / 6) for n in range(6, 43)],
    ),
    (
        "with angles {:.3g} times as large",
        "By how much do angles grow from one position to the next?",
        lambda form, number: dataclasses.replace(form, step=number),
        [2 ** (n / 2) for n in range(-6, 7)],
    ),
]


def _rotation(seen: Seen, reading: Reading, bases: list[Form]) -> Failure | None:
    """Angles of another base or step, of queries, keys or both, by fitting it."""
    halves: list[list[Wrong]] = [[], *([each] for each in WRONG_ROTATIONS if each.changes.get("rotated") in ("q", "k"))]
    for (name, hint, form_of, grid), also in itertools.product(ANGLES, halves):
        points = [(reading, form) for form in _forms(also, bases)]
        (_, form), number = _fit(seen, points, grid, form_of)
        if seen.agrees(reading, form_of(form, number), longer=True):
            fitted = Wrong(name.format(number), hint, {})
            return _named(seen, (*also, fitted), form_of(form, number), reading)
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
        example=_example(seen, each, form),
    )


def _logits_scaled(seen: Seen, readings: list[Reading]) -> Failure | None:
    """Logits of another scale, by fitting it."""
    base = right_parts(seen.learner)[0]
    for each in _told_apart(seen, readings):
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


def _named(seen: Seen, wrongs: tuple[Wrong, ...], form: Form, reading: Reading) -> Failure:
    changes = {name: value for each in wrongs for name, value in each.changes.items()}
    shown = SEES_AHEAD & {*changes} or any(each in _score_bugs(seen) or not each.changes for each in wrongs)
    seen.learner.adopt(reading.how, form)
    return Named(
        changes=changes,
        what=WHAT,
        expected="the lesson's model",
        got="the lesson's model " + (", and ".join(each.name for each in wrongs) or "otherwise"),
        hint=" ".join(dict.fromkeys(each.hint for each in wrongs)),
        example=_example(seen, reading, form) if shown else "",
    )


def _example(seen: Seen, reading: Reading, form: Form) -> str:
    """The attention weights of three tokens by the lesson's form, and by another."""
    right = next(right_forms(seen.learner))
    tokens, task = seen.batch[:1, :3], seen.learner.task
    expected, got = (reference.attention_weights(task, reading.weights, tokens, each) for each in (right, form))
    return side_by_side("attention weights of the first head", expected, got, digits=2)


def side_by_side(title: str, expected: torch.Tensor, got: torch.Tensor, digits: int = 0) -> str:
    """Two small matrices as lines."""
    one, two = ([" ".join(f"{x:.{digits}f}" for x in row) for row in matrix.tolist()] for matrix in (expected, got))
    width = max(len("the lesson's"), len(one[0]))
    rows = [f"{left:{width}}   {right}" for left, right in zip(one, two, strict=True)]
    title = f"{title}, T\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{len(rows)}"
    return "\n".join([title, f"{'the lesson’s':{width}}   yours".replace("’", "'"), *rows])


# The part in which a model differs


def _region(seen: Seen, readings: list[Reading]) -> Failure:
    part, hint = _differing_part(seen, _told_apart(seen, readings))
    return Failure(
        what=WHAT,
        expected="equal logits, for some assignment of your parameters",
        got=f"different, already for a text of one token. The difference is in {part}",
        hint=hint,
    )


ATTENTION = ("attention", "Are values, heads and projection put together as in the lesson?")
ACTIVATIONS = (
    "the activation: if all its inputs are large, the logits are right",
    "What is the formula of the activation? GELU is x · Φ(x), or 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))).",
)
FEED_FORWARD = ("the feed-forward part", "Which layers does the feed-forward part have, and in which order?")
TOGETHER = ("how a block's parts are put together", "In which order are the parts, the norms and the sums?")


def _differing_part(seen: Seen, readings: list[Reading]) -> tuple[str, str]:
    """The part without which a model agrees: each is made transparent in turn, under several readings."""
    task = seen.learner.task
    attention, feed_forward = (
        [("attention", ATTENTION)] * task.attention,
        [("activation", ACTIVATIONS), ("mlp", FEED_FORWARD)] * bool(task.feed_forward),
    )
    both = [("attention mlp", TOGETHER)] * bool(attention and feed_forward)
    for parts, answer in [*attention, *feed_forward, *both]:
        if any(_agrees_without(seen, reading, parts) for reading in readings[:12]):
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
    touched = torch.autograd.grad(sum(value.sum() for value, _ in pairs), leaves, allow_unused=True, retain_graph=True)
    wanted = torch.autograd.grad(sum((value * target).sum() for value, target in pairs), leaves, allow_unused=True)
    values = [
        value if place is None or target is None else torch.where(place != 0, target, value)
        for value, place, target in zip(before, touched, wanted, strict=True)
    ]
    with learner.with_values(model, values):
        logits = learner.logits(model, seen.alone)
    changed = learner.weights(model, values, reading.how)
    differences = [logits - reference.logits(learner.task, changed, seen.alone, form) for form in right_parts(learner)]
    # A feed-forward part that returns its input adds a number to it, twice if it is called twice.
    return any(bool((each - each[:1]).abs().max() < 1e-3 * logits.abs().max()) for each in differences)


def _transparent(learner: LearnerFile, block: Weights, parts: str) -> dict:
    """Weights with which parts of a block add 0, where there are skips; else hand on what they read."""
    values: dict = {}
    if "attention" in parts and learner.task.skips:
        values |= {"projection": 0.0, "projection_bias": 0.0}
    elif "attention" in parts:
        heads, width, channels = block["v"].shape
        values |= {"v": torch.eye(heads * width, channels).view(heads, width, channels), "v_bias": 0.0}
        values |= {"projection": torch.eye(channels), "projection_bias": 0.0}
    if parts == "activation":  # all that it reads is far from where it bends
        return {"widen_bias": 20.0}
    if "mlp" in parts and learner.task.skips:
        values |= {"narrow": 0.0, "narrow_bias": 0.0}
    elif "mlp" in parts:  # far from where the activation bends
        values |= {"widen": torch.eye(*block["widen"].shape), "widen_bias": 20.0}
        values |= {"narrow": torch.eye(*block["widen"].shape[::-1]), "narrow_bias": -20.0}
    return values
