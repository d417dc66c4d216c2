"""Where dropout acts."""

import itertools
from collections.abc import Iterable

from check import reference
from check.matching import Sizes
from check.reference import Task
from check.result import Failure
from check.subject import Model, Subject, close

import torch

KEPT = 1 / 16  # the dropout rate that shows where dropout acts


def dropout(subject: Subject) -> str:
    """Dropout acts on the attention weights, after the projection, and after the MLP, and nowhere else.

    One token in many rows: each row is the reference with some numbers zeroed and the rest scaled by 1 / (1 - p), so
    the most frequent logits are those where nothing is zeroed. By what the parts are then scaled shows where dropout
    acts.
    """
    case = Sizes(V=11, C=8, H=2, D=4, T=2, L=1)  # few numbers, so that all are often kept
    model = subject.fill(subject.build(case, dropout=KEPT), salt=9)
    weights = subject.weights(model)
    places = [*NAMES_OF_PLACES]
    if not subject.task.attention:
        places = ["feed_forward", "inside", "embedding"]
    elif not subject.task.feed_forward:
        places = ["weights", "attention", "embedding"]
    one, two = (_most_frequent(subject, model, length) for length in (1, 2))
    for chosen in itertools.product((1 / (1 - KEPT), 1.0), repeat=len(places)):
        gains = dict(zip(places, chosen, strict=True))
        expected = reference.logits(subject.task, weights, torch.tensor([[2, 2]]), subject.form, gains)[0]
        if close(one, expected[0], 1e-4):
            found = _judge_dropout(subject.task, {place for place in places if gains[place] != 1.0})
            if not close(two, expected[1], 1e-4):
                raise Failure(
                    what="dropout acts where the lesson has it",
                    expected="on the attention weights, after the softmax",
                    got="something random, or scaled, in the scores",
                    question="Is dropout applied to the weights, after the softmax, or to the scores before it?",
                )
            return found
    raise Failure(
        what="dropout acts where the lesson has it",
        expected=_listed(_places(subject.task)),
        got="somewhere else, or at another rate than config.dropout",
        question="Which places has dropout, and which rate?",
    )


def _most_frequent(subject: Subject, model: Model, length: int) -> torch.Tensor:
    """The most frequent last logits (V) of many rows of the same tokens in training mode."""
    rows = subject.logits(model, torch.full((1500, length), 2), training=True)[:, -1]  # (B, V)
    _, row_of, counts = (rows * 1e3).round().unique(dim=0, return_inverse=True, return_counts=True)
    return rows[(row_of == counts.argmax()).nonzero()[0, 0]]


def _places(task: Task) -> list[str]:
    """Where dropout must act."""
    places = ["weights", "attention"] * task.attention + ["feed_forward"] * (task.feed_forward == "mlp")
    return places + ["embedding"] * task.embedding_dropout


NAMES_OF_PLACES = {
    "weights": "on the attention weights",
    "attention": "after the projection",
    "feed_forward": "after the MLP",
    "embedding": "on the embeddings",
    "inside": "inside the MLP",
}


def _listed(places: Iterable[str]) -> str:
    return ", ".join(NAMES_OF_PLACES[place] for place in NAMES_OF_PLACES if place in places)


def _judge_dropout(task: Task, found: set[str]) -> str:
    missing = [place for place in _places(task) if place not in found]
    if missing or "inside" in found:
        raise Failure(
            what="dropout acts where the lesson has it",
            expected=_listed(_places(task)),
            got=f"none {_listed(missing)}" if missing else "one inside the MLP",
            question="In which places does the paper's dropout, or the lesson's, act?",
        )
    more = " (as in the paper)" if "embedding" in found and not task.embedding_dropout else ""
    return f"{_listed(found)}{more}"
