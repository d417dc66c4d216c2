"""What a model's logits were, and the search for known bugs that explain them."""

import contextlib
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from check.judge import reference
from check.judge.arrangements import Arrangement
from check.judge.learner_file import LearnerFile, Model, close
from check.judge.matching import Unreadable
from check.judge.reference import Form, Weights
from check.judge.result import Failure
from check.judge.stages import wrongs
from check.judge.stages.wrongs import SEES_AHEAD, Wrong, of_change, right_forms, right_parts

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


class Seen:
    """A learner's logits for texts of one token (alone) and for longer ones, and what explains them."""

    def __init__(self, learner: LearnerFile, model: Model, alone: torch.Tensor, batch: torch.Tensor):
        self.learner, self.model, self.alone, self.batch = learner, model, alone, batch
        self.got_alone, self.got = learner.logits(model, alone), learner.logits(model, batch)
        self.values = model.values  # but for vectors that are not used
        self.parts = right_parts(learner)

    def expected(self, reading: Reading, form: Form, longer: bool = False) -> torch.Tensor:
        return reference.logits(self.learner.task, reading.weights, self.batch if longer else self.alone, form)

    def agrees(self, reading: Reading, form: Form, longer: bool = False) -> bool:
        """Whether a form of the reference gives these logits."""
        try:
            return close(self.got if longer else self.got_alone, self.expected(reading, form, longer))
        except (KeyError, RuntimeError, IndexError):
            return False

    def with_queries_of_zero(self, reading: Reading, form: Form) -> tuple[torch.Tensor, torch.Tensor]:
        """The learner's logits, and the reference's, where a reading's queries are 0."""
        with self.zeroed(reading.how):
            weights = self.learner.weights(self.model, how=reading.how)
            expected = reference.logits(self.learner.task, weights, self.batch, form)
            return self.learner.logits(self.model, self.batch), expected

    def zeroed(self, how: Arrangement, but: Sequence[int] = ()) -> AbstractContextManager[None]:
        """All numbers of a reading's queries are 0, `but` these of each head."""
        leaves = [value.clone().requires_grad_() for value in self.model.values]
        blocks = self.learner.weights(self.model, leaves, how)["blocks"]
        gone = [number for number in range(self.model.sizes.D) if number not in but]
        total = sum(block[name][:, gone].sum() for block in blocks for name in ("q", "q_bias") if name in block)
        touched = torch.autograd.grad(total, leaves, allow_unused=True)
        pairs = zip(self.model.values, touched, strict=True)
        zeroed = [value if grad is None else torch.where(grad != 0, 0.0, value) for value, grad in pairs]
        return self.learner.with_values(self.model, zeroed)

    def read(self, hows: Iterable[Arrangement]) -> list[Reading]:
        """The readings that the parameters allow: those that fit the gradients of one token, if any do."""
        hows = [*itertools.islice(hows, 2000)]
        gradients = self.learner.gradients(self.model, self.alone, self.alone.flip(0))
        pairs = zip(self.model.values, gradients, strict=True)
        slopes = [torch.zeros_like(value) if gradient is None else gradient for value, gradient in pairs]
        fitting = [how for how, weights in self._weights(hows, slopes) if self._possible(weights)]
        return [*self._weights(fitting or hows, self.values)]

    def _weights(self, hows: Iterable[Arrangement], values: list) -> Iterator[Reading]:
        for how in hows:
            with contextlib.suppress(Unreadable, RuntimeError, IndexError):
                yield Reading(how, self.learner.weights(self.model, values, how))

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
        lost = [gradient is None for gradient in self.learner.gradients(self.model, self.batch, self.batch)]
        if all(lost):
            return []
        pairs = [*zip(self.values, lost, strict=True)]
        self.values = [0 * value if gone and value.squeeze().ndim < 2 else value for value, gone in pairs]
        return [*itertools.compress(self.model.names, lost)]

    # Bugs

    def search(self, readings: list[Reading], combinations, bases: list[Form], longer: bool, budget: int = MOST):
        """The first combination of bugs that gives the learner's logits, its form and the weights; or None."""
        for each, combination in itertools.product(readings, combinations):
            for form in forms_of(combination, bases):
                budget -= 1
                if self.agrees(each, form, longer):
                    return combination, form, each
                if budget < 0:
                    return None
        return None

    def likeliest(self, distinct: list[Reading], singles: Sequence[tuple[Wrong, ...]]) -> tuple[list[Reading], list]:
        """The readings with which a bug comes nearest to the learner's logits, and pairs, the likeliest first."""
        got = self.got_alone.flatten()

        def closeness(reading: Reading, single: tuple[Wrong, ...]) -> float:
            logits = (self.expected(reading, form).flatten() for form in forms_of(single, self.parts[:1]))
            return max(float(torch.cosine_similarity(each, got, dim=0)) for each in logits)

        found = [[closeness(reading, single) for single in singles] for reading in distinct[: 2 * READINGS]]
        best = sorted(range(len(found)), key=lambda i: max(found[i]), reverse=True)[: READINGS // 2]
        order = sorted(range(len(singles)), key=found[best[0]].__getitem__, reverse=True)
        pairs = sorted(itertools.combinations(range(len(singles)), 2), key=sum)
        return [distinct[i] for i in best], [singles[order[a]] + singles[order[b]] for a, b in pairs]

    def told_apart(self, readings: list[Reading]) -> list[Reading]:
        """One of all readings that are alike for one token."""
        found: dict[tuple, Reading] = {}
        for each in readings:
            logits = self.expected(each, self.parts[0])[:2, 0]
            found.setdefault(tuple((logits * 1e3).round().flatten().tolist()), each)
        return [*found.values()]

    def matters(self, reading: Reading, bug: Wrong) -> bool:
        """Whether a task has what a bug is about."""
        base = self.parts[0]
        try:
            changed = self.expected(reading, dataclasses.replace(base, **bug.changes))
            return not close(changed, self.expected(reading, base))
        except (KeyError, RuntimeError):
            return False

    def score_bugs(self) -> list[Wrong]:
        task = self.learner.task
        if not task.attention:
            return []
        # Whether the logits of a text are others where more comes after it.
        by_length = not close(self.learner.logits(self.model, self.batch[:, :3]), self.got[:, :3])
        masks, rotations = wrongs.WRONG_MASKS * by_length, wrongs.WRONG_ROTATIONS * task.rotary
        return [*of_change(self.learner), *masks, *wrongs.WRONG_SCORES, *rotations]

    def named(self, bugs: tuple[Wrong, ...], form: Form, reading: Reading) -> Named:
        changes = {name: value for each in bugs for name, value in each.changes.items()}
        shown = SEES_AHEAD & {*changes} or any(each in self.score_bugs() or not each.changes for each in bugs)
        if isinstance(form.scale, str):  # known at all sizes: the lesson's model has it, too, from here on
            self.learner.arrangement, self.learner.form = reading.how, form
        return Named(
            changes=changes,
            what=WHAT,
            expected="the lesson's model",
            got="the lesson's model " + (", and ".join(each.name for each in bugs) or "otherwise"),
            hint=" ".join(dict.fromkeys(each.hint for each in bugs)),
            example=self.example(reading, form) if shown else "",
        )

    def example(self, reading: Reading, form: Form) -> str:
        """The attention weights of three tokens by the lesson's form, and by another."""
        task, tokens, forms = self.learner.task, self.batch[:1, :3], (next(right_forms(self.learner)), form)
        expected, got = (reference.attention_weights(task, reading.weights, tokens, each) for each in forms)
        return side_by_side("attention weights of the first head", expected, got, digits=2)


def forms_of(bugs: Sequence[Wrong], bases: Iterable[Form]) -> list[Form]:
    """The right forms with these bugs; none where one undoes another."""
    changes = [each.changes for each in bugs]
    merged = {name: value for each in changes for name, value in each.items()}
    if len(merged) < sum(map(len, changes)):
        return []
    return [*dict.fromkeys(dataclasses.replace(base, **merged) for base in bases)]


def side_by_side(title: str, expected: torch.Tensor, got: torch.Tensor, digits: int = 0) -> str:
    """Two small matrices as lines."""
    one, two = ([" ".join(f"{x:.{digits}f}" for x in row) for row in matrix.tolist()] for matrix in (expected, got))
    theirs = "the lesson's"
    width = max(len(theirs), len(one[0]))
    rows = [f"{left:{width}}   {right}" for left, right in zip(one, two, strict=True)]
    title = f"{title}, T\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{len(rows)}"
    return "\n".join([title, f"{theirs:{width}}   yours", *rows])
