"""With the same weights, the logits of the lesson's model."""

import dataclasses
import itertools

from check import matching, reference
from check.matching import Arrangement, Sizes, Unreadable
from check.reference import Form
from check.result import Failure
from check.stages.wrongs import WRONG_PARTS, WRONG_ROTATIONS, WRONG_SCORES, Wrong, right_forms, right_parts
from check.subject import TOLERANCE, B, Model, Subject, close, off

import torch

MOST_WRONG = 4000  # comparisons that a search for the nearest wrong form may take


def logits(subject: Subject) -> str:
    """With the same weights, the logits of the lesson's model, whatever names and layouts are."""
    model = subject.small_model()
    T, V = model.sizes.T, model.sizes.V
    subject.sizes_used = f"T = {T}, V = {V}, n_embd = {model.sizes.C}, heads = {model.sizes.H}"
    alone, batch = subject.tokens(6, 1, V), subject.tokens(B, T, V)
    got_alone, got = subject.logits(model, alone), subject.logits(model, batch)
    fitting: list[Arrangement] = []
    others: dict[tuple, Arrangement] = {}  # first logits → an arrangement that gives them, and not the model's
    parts, forms = right_parts(subject), list(right_forms(subject))
    for how in matching.arrangements(subject.task, subject.structure(model), model.sizes):
        weights = subject.weights(model, how=how)
        expected = [reference.logits(subject.task, weights, alone, form) for form in parts]
        if not any(close(got_alone, each) for each in expected):
            others.setdefault(tuple(expected[0][0, 0].round(decimals=3).tolist()), how)
            continue
        fitting.append(how)
        for form in forms:
            if _agrees(subject, model, how, form, batch, got):
                subject.arrangement, subject.form = how, _nearest(subject, model, how, form, batch, got)
                _zero_scores(subject, model, batch)
                return "equal to the lesson's" + (f"; scores divided by {form.scale}" if subject.task.attention else "")
    if fitting:
        raise _wrong_scores(subject, model, fitting, batch, got)
    if not others:
        raise Unreadable("no order of axes fits the shapes of all")
    raise _wrong_parts(subject, model, [*others.values()], alone, got_alone, batch, got)


def _agrees(
    subject: Subject, model: Model, how: Arrangement, form: Form, tokens: torch.Tensor, got: torch.Tensor
) -> bool:
    """Whether an arrangement and a form of the reference give these logits."""
    try:
        return close(got, reference.logits(subject.task, subject.weights(model, how=how), tokens, form))
    except (KeyError, RuntimeError):  # a wrong form that this task cannot have
        return False


def _nearest(subject: Subject, model: Model, how: Arrangement, form: Form, tokens, got: torch.Tensor) -> Form:
    """Of the activations that are right, and nearly alike, the one that fits best."""
    weights = subject.weights(model, how=how)
    forms = [dataclasses.replace(form, activation=part.activation) for part in right_parts(subject)]
    return min(forms, key=lambda each: (reference.logits(subject.task, weights, tokens, each) - got).abs().max())


def _zero_scores(subject: Subject, model: Model, batch: torch.Tensor) -> None:
    """Scores of exactly zero are scores like others."""
    if not subject.task.attention:
        return
    leaves = [value.clone().requires_grad_() for value in model.values]
    blocks = subject.weights(model, leaves)["blocks"]
    total = sum(block[name].sum() for block in blocks for name in ("q", "q_bias") if name in block)
    touched = torch.autograd.grad(total, leaves, allow_unused=True)
    before = model.values
    zeroed = [
        value if grad is None else torch.where(grad != 0, 0.0, value)
        for value, grad in zip(before, touched, strict=True)
    ]
    subject.set(model, zeroed)
    got = subject.logits(model, batch)
    expected = reference.logits(subject.task, subject.weights(model), batch, subject.form)
    subject.set(model, before)
    if not close(got, expected):
        shown = "not a number" if not got.isfinite().all() else off(got, expected)
        raise Failure(
            what="scores of exactly 0 are scores like others",
            expected="an even average of the past where all queries are 0",
            got=shown,
            question="Does the mask hide by position, or does it hide whatever is 0?",
        )


def _named(subject, model, hows, wrongs: list[Wrong], bases, tokens, got, budget: int) -> Wrong | None:
    """The first wrong form that gives these logits."""
    for how in hows:
        for each, base in itertools.product(wrongs, bases):
            budget -= 1
            if budget < 0:
                return None
            if _agrees(subject, model, how, dataclasses.replace(base, **each.changes), tokens, got):
                return each
    return None


def _failure(found: Wrong) -> Failure:
    return Failure(
        what="the same weights give the lesson's logits",
        expected="the lesson's model",
        got=f"the lesson's model {found.name}",
        question=found.question,
    )


def _wrong_scores(subject: Subject, model: Model, fitting: list[Arrangement], batch, got) -> Failure:
    """One token gives the right logits, more do not: the scores differ."""
    bases = list(right_forms(subject))
    wrongs = [*WRONG_SCORES, *(WRONG_ROTATIONS if subject.task.rotary else [])]
    named = _named(subject, model, fitting, wrongs, bases, batch, got, MOST_WRONG)
    if named:
        return _failure(named)
    expected = reference.logits(subject.task, subject.weights(model, how=fitting[0]), batch, bases[0])
    first = int(((got - expected).abs().amax(dim=(0, 2)) > TOLERANCE).nonzero()[0])
    return Failure(
        what="the same weights give the lesson's logits",
        expected="equal logits at all positions",
        got=f"equal for a text of one token; in a longer one {off(got, expected)}, first at position {first}",
        question="What goes into the scores that one token alone does not show: their scale, the softmax, "
        "what is added to them or turned, queries and keys of all heads?",
    )


def _wrong_parts(subject: Subject, model: Model, hows: list[Arrangement], alone, got_alone, batch, got) -> Failure:
    """Not even one token gives the right logits: a layer differs."""
    named = _named(subject, model, hows[:200], WRONG_PARTS, right_parts(subject), alone, got_alone, MOST_WRONG)
    if named:
        return _failure(named)
    part, question = _differing_part(subject, model, hows, alone)
    return Failure(
        what="the same weights give the lesson's logits",
        expected="equal logits, under some reading of your parameters",
        got=f"others, already for a text of one token. The difference is in {part}",
        question=question,
    )


def _differing_part(subject: Subject, model: Model, hows: list[Arrangement], alone) -> tuple[str, str]:
    """The part of the model without which it agrees: attention, the feed-forward part, or neither."""
    structure = subject.structure(model)
    attention = [u for block in structure.blocks for u in block.attention]
    mlp = [u for block in structure.blocks for u in block.wide]
    before = model.values
    for units, part, question in (
        (attention, "attention", "Are values, heads and projection put together as in the lesson?"),
        (mlp, "the feed-forward part", "Which layers has the feed-forward part, in which order?"),
        ([*attention, *mlp], "how a block's parts are put together", "In which order come norm, branch and sum?"),
    ):
        indices = {index for unit in units for index in (unit.matrix, unit.vector)}
        subject.set(model, [value * 0 if i in indices else value for i, value in enumerate(before)])
        logits = subject.logits(model, alone)
        forms = right_parts(subject)
        agrees = bool(units) and any(
            _agrees(subject, model, how, form, alone, logits) for how in hows[:200] for form in forms
        )
        subject.set(model, before)
        if agrees:
            return part, question
    return (
        "the embeddings, the last norm or the output layer",
        "What happens before the first block and after the last?",
    )


def sizes(subject: Subject) -> str:
    """The same at real sizes: long texts, many rows, small and large heads."""
    several = subject.task.n_head
    cases = [
        (Sizes(V=65, C=128, H=2 if several else 1, D=64, T=256, L=2), 2, (256, 100)),
        (Sizes(V=65, C=32, H=4 if several else 1, D=8, T=8, L=3), 64, (8,)),
        (Sizes(V=65, C=80, H=5 if several else 1, D=16, T=72, L=3), 3, (72, 71, 33)),
    ]
    for case, rows, lengths in cases:
        if not subject.task.blocks:
            case = dataclasses.replace(case, L=1)
        model = subject.fill(subject.build(case), salt=case.T)
        weights = subject.weights(model)
        for length in lengths:
            subject.sizes_used = f"B = {rows}, T = {length}, block_size = {case.T}, n_embd = {case.C}, heads = {case.H}"
            tokens = subject.tokens(rows, length, case.V, salt=length)
            got, expected = subject.logits(model, tokens), reference.logits(subject.task, weights, tokens, subject.form)
            if not close(got, expected, 5e-4):
                raise _wrong_at(got, expected, length)
    return "equal for T up to 256, up to 64 rows, heads of 8 to 64"


def _wrong_at(got: torch.Tensor, expected: torch.Tensor, length: int) -> Failure:
    wrong = (got - expected).abs().amax(dim=-1) > 5e-4 * expected.abs().max().clamp(min=1.0)  # (B, T)
    wrong |= ~got.isfinite().all(dim=-1)
    row, place = (int(n) for n in wrong.nonzero()[0])
    rows = wrong.any(dim=1)
    question = "Which number in the code is a size that was right for short texts only?"
    got_text = f"wrong from position {int(wrong.any(dim=0).nonzero()[0])} on"
    if place == 0:
        question = "Which size in the code is written as a number, or taken from the wrong axis?"
        got_text = f"wrong at position 0 of row {row}"
        if not rows.all() and int(rows.nonzero()[0]) > 0:
            got_text = f"rows 0 to {int(rows.nonzero()[0]) - 1} right, row {int(rows.nonzero()[0])} wrong"
            question = "What treats later rows of a batch otherwise than the first ones?"
    return Failure(
        what="the lesson's logits at real sizes, too",
        expected=f"equal logits for a text of {length}",
        got=f"{got_text}, {off(got, expected)}",
        question=question,
    )
