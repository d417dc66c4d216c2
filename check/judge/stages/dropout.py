"""Where dropout acts."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

from check.judge import reference
from check.judge.learner_file import LearnerFile, close
from check.judge.matching import Sizes
from check.judge.reference import Task
from check.judge.result import Failure

import torch

RATE = 1 / 64  # so low that often nothing is dropped, or only one number
CALLS, ROWS = 16, 300  # a number alone is dropped in 18 rows of all, so 1 in 10⁷ of them is never seen
Cell = tuple[str, int]  # a place in a block

NAMES_OF_PLACES = {
    "weights": "on the attention weights",
    "attention": "after the projection",
    "feed_forward": "after the MLP",
    "embedding": "on the embeddings",
    "inside": "inside the MLP",
    "sum1": "on the stream, after attention is added",
    "sum2": "on the stream, after the MLP is added",
}
WHAT = "dropout acts where the lesson has it"


def dropout(learner: LearnerFile) -> str:
    """Dropout hides single numbers of the attention weights, of the projection's output and of the MLP's, no others.

    Many rows hold the same text. The most frequent logits are those where nothing is dropped; by what the parts are
    then scaled shows in which places of which blocks dropout acts. Rows in which one number alone is dropped show
    that it hides single numbers there, and others in each row.
    """
    if not learner.takes("dropout"):
        return "not compared: the class has no argument dropout"
    sizes = Sizes(V=11, C=8, H=2, D=4, T=2, L=2 if learner.task.blocks else 1)
    model = learner.fill(learner.build(sizes, dropout=RATE), salt=9)
    task, weights, tokens = learner.task, learner.weights(model), torch.tensor([[2, 5]])
    sizes = replace(model.sizes, W=weights["blocks"][0]["widen"].shape[0] if task.gated else 0)
    calls = [learner.logits(model, tokens.expand(ROWS, -1), training=True) for _ in range(CALLS)]  # (B, T, V) each
    base = _nothing_dropped(learner.task, calls)

    def expected(gains: dict) -> torch.Tensor:
        rows = max((gain.shape[0] for gain in gains.values()), default=1)
        return reference.logits(task, weights, tokens.expand(rows, -1), learner.form, gains)  # (B, T, V)

    def nearly(cells: list[Cell]) -> tuple[torch.Tensor, torch.Tensor]:
        """Which cells have dropout, in every combination, and for which of them the logits (T) are those seen."""
        choices = torch.tensor(list(itertools.product((1 / (1 - RATE), 1.0), repeat=len(cells))))  # (B, cells)
        scaled = expected({cell: _even(cell, gain, sizes) for cell, gain in zip(cells, choices.T, strict=True)})
        return choices, (scaled - base).abs().amax(dim=-1) <= 1e-4 * max(1.0, float(base.abs().max()))

    cells = _cells(task, sizes.L)
    choices, near = nearly(cells)
    if not near.all(dim=-1).any():
        tokens_alone = nearly([("tokens", 0), *cells[1:]])[1].all(dim=-1).any()
        raise _elsewhere(task, scores=bool(near[:, 0].any()), tokens_alone=bool(tokens_alone))
    drawn = torch.cat(calls).flatten(1)
    unseen: list[tuple[dict[Cell, torch.Tensor], Cell]] = []
    for i in near.all(dim=-1).nonzero()[:, 0]:
        gains = {cell: _even(cell, gain, sizes) for cell, gain in zip(cells, choices[i], strict=True) if gain > 1}
        together = [cell for cell in gains if _seen(drawn, expected(gains | _one_hidden(cell, sizes))) < 0.8]
        if not together:
            return _judge(task, [*gains], sizes.L)
        unseen.append((gains, together[0]))
    gains, cell = min(unseen, key=lambda each: len(_missing(task, [*each[0]], sizes.L)))
    groups = {name: _seen(drawn, expected(gains | masks)) for name, masks in _groups(cell, sizes).items()}
    likeliest = max(groups, key=groups.__getitem__)
    raise Failure(
        what="dropout hides single numbers, different ones in each row",
        expected=f"single numbers dropped {_named([cell], sizes.L)}",
        got=f"{likeliest} dropped there" if groups[likeliest] > 0.5 else "no single number dropped there",
        hint="What is the shape of dropout's input there: one draw for each number?",
    )


def _nothing_dropped(task: Task, calls: list[torch.Tensor]) -> torch.Tensor:
    """The logits (T, V) where nothing is dropped, the most frequent in every call."""
    found = []
    for logits in calls:
        _, row_of, counts = (logits.flatten(1) * 1e3).round().unique(dim=0, return_inverse=True, return_counts=True)
        if counts.max() < 0.02 * ROWS:
            raise _elsewhere(task)
        alike = logits[row_of == counts.argmax()]  # a few of them may differ by less than the rounding
        found.append(alike.median(dim=0).values)
    if not all(close(each, found[0], 1e-3) for each in found):
        raise Failure(
            what="dropout hides single numbers, different ones in each row",
            expected="different numbers hidden in each row of a batch",
            got="the same in all rows of a batch",
            hint="What is the shape of dropout's input: is the batch one of its axes?",
        )
    return found[0]


def _elsewhere(task: Task, scores: bool = False, tokens_alone: bool = False) -> Failure:
    expected, got = _listed(_places(task)), "somewhere else, or at another rate than config.dropout"
    hint = "In which places is dropout, and at which rate?"
    if tokens_alone:
        got = "on the token embeddings, before positions are added"
        hint = "To which sum is dropout applied, and what has been added to it before?"
    elif scores and task.attention:
        expected, got = "on the attention weights, after the softmax", "something random, or scaled, in the scores"
        hint = "Is dropout applied to the weights, after the softmax, or to the scores before it?"
    return Failure(what=WHAT, expected=expected, got=got, hint=hint)


def _cells(task: Task, layers: int) -> list[Cell]:
    """Where dropout could act."""
    inside = ["weights", "attention"] * task.attention + ["feed_forward", "inside"] * (task.feed_forward == "mlp")
    inside += ["sum1", "sum2"] * task.skips
    return [("embedding", 0), *itertools.product(inside, range(layers))]


def _shape(place: str, sizes: Sizes) -> tuple[int, ...]:
    T, H = sizes.T, sizes.H
    other = {"weights": (H, T, T), "values": (H, T, sizes.D), "inside": (T, sizes.W or 4 * sizes.C)}
    return other.get(place, (T, sizes.C))


def _even(cell: Cell, gains: torch.Tensor, sizes: Sizes) -> torch.Tensor:
    """One gain (or B of them) for all numbers of a place."""
    return gains.view(-1, *(1 for _ in _shape(cell[0], sizes)))


def _one_hidden(cell: Cell, sizes: Sizes, place: str = "") -> dict[Cell, torch.Tensor]:
    """For each number of a place a row in which it alone is hidden."""
    shape = _shape(place or cell[0], sizes)
    masks = 1 - torch.eye(math.prod(shape)).view(-1, *shape)
    if (place or cell[0]) == "weights":  # those of later positions are zero anyway
        masks = masks[torch.ones(shape).tril().flatten().bool()]
    return {(place or cell[0], cell[1]): masks / (1 - RATE)}


def _groups(cell: Cell, sizes: Sizes) -> dict[str, dict[Cell, torch.Tensor]]:
    """What else could be hidden at a place, and the rows in which one of these is."""
    shape = _shape(cell[0], sizes)
    names = ("whole heads", "whole rows", "whole columns") if cell[0] == "weights" else ("whole positions", "channels")
    groups = {}
    for axis, name in enumerate(names):
        masks = 1 - torch.eye(shape[axis]).view(-1, *(n if i == axis else 1 for i, n in enumerate(shape)))
        groups[name] = {cell: masks / (1 - RATE)}
    if cell[0] == "weights":
        gone = {cell: torch.ones(1, 1, 1, 1)}
        groups["numbers of the values"] = gone | _one_hidden(cell, sizes, "values")
    return groups | {"all of it": {cell: torch.zeros(1, *shape)}}


def _seen(drawn: torch.Tensor, expected: torch.Tensor) -> float:
    """Which share of the expected logits (N, T, V) is among those that were drawn (B, T·V)."""
    expected = expected.flatten(1)
    near = (drawn[:, None] - expected).abs().amax(dim=-1) <= 2e-4 * max(1.0, float(expected.abs().max()))  # (B, N)
    return float(near.any(dim=0).float().mean())


def _places(task: Task) -> list[str]:
    """Where dropout must act."""
    places = ["weights", "attention"] * task.attention + ["feed_forward"] * (task.feed_forward == "mlp")
    return places + ["embedding"] * task.embedding_dropout


def _listed(places: Iterable[str]) -> str:
    return ", ".join(NAMES_OF_PLACES[place] for place in NAMES_OF_PLACES if place in places)


def _named(cells: list[Cell], layers: int) -> str:
    """Places, with the number of their block where not all blocks have them."""
    names = []
    for place in dict.fromkeys(place for place, _ in cells):
        blocks = [number for each, number in cells if each == place]
        which = f" in block {blocks[0] + 1}" if layers > 1 and len(blocks) < layers and place != "embedding" else ""
        names.append(NAMES_OF_PLACES[place] + which)
    return ", ".join(names)


def _missing(task: Task, found: list[Cell], layers: int) -> list[Cell]:
    return [cell for cell in _cells(task, layers) if cell[0] in _places(task) and cell not in found]


def _judge(task: Task, found: list[Cell], layers: int) -> str:
    places = {place for place, _ in found}
    missing = [] if task.name.endswith("_attention") and places <= {"weights"} else _missing(task, found, layers)
    extra = [cell for cell in found if cell[0] in ("inside", "sum1", "sum2")]
    if missing or extra:
        raise Failure(
            what=WHAT,
            expected=_listed(_places(task)),
            got=f"one {_named(extra, layers)}" if extra else f"none {_named(missing, layers)}",
            hint="In which places does the dropout of the paper, or of the lesson, act?",
        )
    if not found:
        return "none; the lesson's acts on the attention weights and after the projection"
    return _listed(places) + " (as in the paper)" * ("embedding" in places and not task.embedding_dropout)
