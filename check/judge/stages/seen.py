"""What a model's logits were, and the search for known bugs that explain them."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from check.judge import reference
from check.judge.arrangements import Arrangement
from check.judge.learner_file import LearnerFile, Model, close
from check.judge.matching import Unreadable
from check.judge.reference import Form, Weights
from check.judge.result import Failure
from check.judge.stages.wrongs import (
    SEES_AHEAD,
    WRONG_MASKS,
    WRONG_ROTATIONS,
    WRONG_SCORES,
    Wrong,
    of_change,
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
        self.explains_all = True  # not only texts of one token


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


def forms_of(wrongs: Sequence[Wrong], bases: Iterable[Form]) -> list[Form]:
    """The right forms with these bugs; none where one undoes another."""
    changes = [each.changes for each in wrongs]
    merged = {name: value for each in changes for name, value in each.items()}
    if len(merged) < sum(map(len, changes)):
        return []
    return [*dict.fromkeys(dataclasses.replace(base, **merged) for base in bases)]


def search(seen: Seen, readings: list[Reading], combinations, bases: list[Form], longer: bool, budget: int = MOST):
    """The first combination of bugs that gives the learner's logits, its form and the weights; or None."""
    for each, combination in itertools.product(readings, combinations):
        for form in forms_of(combination, bases):
            budget -= 1
            if seen.agrees(each, form, longer):
                return combination, form, each
            if budget < 0:
                return None
    return None


def likeliest(seen: Seen, distinct: list[Reading], singles: Sequence[tuple[Wrong, ...]]) -> tuple[list[Reading], list]:
    """The readings with which one bug alone comes nearest to the learner's logits, and pairs, the likeliest first."""
    base, got = right_parts(seen.learner)[0], seen.got_alone.flatten()

    def closeness(reading: Reading, single: tuple[Wrong, ...]) -> float:
        logits = (seen.expected(reading, form).flatten() for form in forms_of(single, [base]))
        return max(float(torch.cosine_similarity(each, got, dim=0)) for each in logits)

    found = [[closeness(reading, single) for single in singles] for reading in distinct[: 2 * READINGS]]
    best = sorted(range(len(found)), key=lambda i: max(found[i]), reverse=True)[: READINGS // 2]
    order = sorted(range(len(singles)), key=found[best[0]].__getitem__, reverse=True)
    pairs = sorted(itertools.combinations(range(len(singles)), 2), key=sum)
    return [distinct[i] for i in best], [singles[order[a]] + singles[order[b]] for a, b in pairs]


def told_apart(seen: Seen, readings: list[Reading]) -> list[Reading]:
    """One of all readings that are alike for one token."""
    base, found = right_parts(seen.learner)[0], dict[tuple, Reading]()
    for each in readings:
        logits = seen.expected(each, base)[:2, 0]
        found.setdefault(tuple((logits * 1e3).round().flatten().tolist()), each)
    return [*found.values()]


def matters(seen: Seen, reading: Reading, each: Wrong) -> bool:
    """Whether a task has what a bug is about."""
    base = right_parts(seen.learner)[0]
    try:
        return not close(
            seen.expected(reading, dataclasses.replace(base, **each.changes)), seen.expected(reading, base)
        )
    except (KeyError, RuntimeError):
        return False


def score_bugs(seen: Seen) -> list[Wrong]:
    task = seen.learner.task
    if not task.attention:
        return []
    return [
        *of_change(seen.learner),
        *(WRONG_MASKS if seen.differs_by_length() else []),
        *WRONG_SCORES,
        *(WRONG_ROTATIONS if task.rotary else []),
    ]


def named(seen: Seen, wrongs: tuple[Wrong, ...], form: Form, reading: Reading) -> Named:
    changes = {name: value for each in wrongs for name, value in each.changes.items()}
    shown = SEES_AHEAD & {*changes} or any(each in score_bugs(seen) or not each.changes for each in wrongs)
    seen.learner.adopt(reading.how, form)
    return Named(
        changes=changes,
        what=WHAT,
        expected="the lesson's model",
        got="the lesson's model " + (", and ".join(each.name for each in wrongs) or "otherwise"),
        hint=" ".join(dict.fromkeys(each.hint for each in wrongs)),
        example=example_of(seen, reading, form) if shown else "",
    )


def example_of(seen: Seen, reading: Reading, form: Form) -> str:
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
