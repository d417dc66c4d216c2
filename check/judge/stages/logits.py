"""With the same weights, the logits of the lesson's model."""

import dataclasses
import functools

from check.judge import arrangements, reference
from check.judge.arrangements import Arrangement
from check.judge.learner_file import B, LearnerFile, close, off
from check.judge.matching import Sizes, Unreadable
from check.judge.reference import Form, Weights
from check.judge.result import Failure
from check.judge.stages import naming
from check.judge.stages.seen import Named, Reading, Seen
from check.judge.stages.wrongs import right_forms

import torch


def matched(learner: LearnerFile) -> bool:
    """Whether they are, without a reason where they are not."""
    try:
        return bool(logits(learner, explaining=False))
    except (Failure, Unreadable, RuntimeError, LookupError):  # of another change's parameters
        return False


def logits(learner: LearnerFile, explaining: bool = True) -> str:
    """With the same weights, the logits of the lesson's model, whatever names and layouts are."""
    model, task = learner.small_model(), learner.task
    T, V = model.sizes.T, model.sizes.V
    learner.sizes_used = f"T = {T}, V = {V}, n_embd = {model.sizes.C}, heads = {model.sizes.H}"
    seen = Seen(learner, model, learner.tokens(6, 1, V), learner.tokens(B, T, V))
    fitting: list[Arrangement] = []
    others = False
    arranged = functools.partial(arrangements.arrangements, task, learner.structure(model), model.sizes)
    forms = list(right_forms(learner))
    for how in arranged():
        try:
            reading = Reading(how, learner.weights(model, how=how))
        except Unreadable:  # a matrix whose vector another order does not fit
            continue
        if not any(seen.agrees(reading, form) for form in seen.parts):
            others = True
            continue
        fitting.append(how)
        form = next((form for form in forms if seen.agrees(reading, form, longer=True)), None)
        if form:
            learner.arrangement, learner.form = how, _nearest(seen, reading, form)
            _zero_scores(seen, reading, learner.form)
            _note(learner, reading.weights["blocks"][0])
            return "equal to the lesson's" + (f"; scores divided by {form.scale}" if task.attention else "")
    if not explaining:
        return ""
    if not fitting and not others:
        raise Unreadable("no order of axes fits the shapes of all")
    raise naming.explain(seen, [*arranged()], fitting)


def _note(learner: LearnerFile, block: Weights) -> None:
    """Note what makes a task's log another one than the documented."""
    if not learner.name.startswith("task"):
        return
    biased = [name for name in ("queries", "keys", "values") if f"{name[0]}_bias" in block]
    if biased:
        learner.note(f"biases in {', '.join(biased)}")
    documented = learner.task.documented_scale
    names = {"√D": "√head_size", "√C": "√n_embd"}
    if learner.form.scale != documented:
        scale = names[str(learner.form.scale)]
        learner.note(f"scores divided by {scale}, in the documented runs by {names[documented]}")


def known_bug(learner: LearnerFile) -> Named | None:
    """A bug that explains all logits, where an earlier stage would name a consequence of it."""
    try:
        logits(learner)
    except Named as bug:
        return bug
    except (Failure, Unreadable, RuntimeError, LookupError):
        pass
    return None


def _nearest(seen: Seen, reading: Reading, form: Form) -> Form:
    """Of the activations that are right, and nearly alike, the one that fits best."""
    forms = [dataclasses.replace(form, activation=part.activation) for part in seen.parts]
    return min(forms, key=lambda each: (seen.expected(reading, each, longer=True) - seen.got).abs().max())


def _zero_scores(seen: Seen, reading: Reading, form: Form) -> None:
    """Scores of exactly zero are scores like others."""
    if not seen.learner.task.attention:
        return
    got, expected = seen.with_queries_of_zero(reading, form)
    if not close(got, expected):
        raise Failure(
            what="scores of exactly 0 are treated like other scores",
            expected="an even average of the past if all queries are 0",
            got="not a number" if not got.isfinite().all() else off(got, expected),
            hint="Does the mask hide by position, or does it hide whatever is 0?",
        )


WINDOW = " If it is the length of a sliding window: does Config have a field `window` for it?"


def sizes(learner: LearnerFile) -> str:
    """The same at real sizes: long texts, many rows, small and large heads."""
    several = learner.task.n_head
    # Of 5 heads, ALiBi's own code has other slopes, and half of them are no whole number.
    last = 4 if learner.task.change in ("alibi", "grouped_queries") else 5
    cases = [
        (Sizes(V=65, C=128, H=2 if several else 1, D=64, T=256, L=2), 2, (256, 100)),
        (Sizes(V=65, C=32, H=4 if several else 1, D=8, T=9, L=3), 64, (9, 8)),  # as documented, but for T, which is D
        (Sizes(V=65, C=16 * last, H=last if several else 1, D=16, T=72, L=3), 3, (72, 71, 33)),
    ]
    for case, rows, lengths in cases:
        if not learner.task.blocks:
            case = dataclasses.replace(case, L=1)
        model = learner.fill(learner.build(case), salt=case.T)
        weights = learner.weights(model)
        for length in lengths:
            learner.sizes_used = f"B = {rows}, T = {length}, block_size = {case.T}, n_embd = {case.C}, heads = {case.H}"
            tokens = learner.tokens(rows, length, case.V, salt=length)
            got, expected = learner.logits(model, tokens), reference.logits(learner.task, weights, tokens, learner.form)
            if not close(got, expected, 5e-4):
                raise _wrong_at(got, expected, length, may_be_window=learner.name == "task09_rope")
    return "equal for T up to 256, up to 64 rows, heads of 8 to 64"


def _wrong_at(got: torch.Tensor, expected: torch.Tensor, length: int, may_be_window: bool) -> Failure:
    wrong = (got - expected).abs().amax(dim=-1) > 5e-4 * expected.abs().max().clamp(min=1.0)  # (B, T)
    wrong |= ~got.isfinite().all(dim=-1)
    row, place = (int(n) for n in wrong.nonzero()[0])
    rows = wrong.any(dim=1)
    hint = "Which number in the code is a size that is right only for short texts?" + WINDOW * may_be_window
    got_text = f"wrong from position {int(wrong.any(dim=0).nonzero()[0])} on"
    if place == 0:
        hint = "Which size in the code is written as a number, or taken from the wrong axis?"
        got_text = f"wrong at position 0 of row {row}"
        if not rows.all() and int(rows.nonzero()[0]) > 0:
            got_text = f"rows 0 to {int(rows.nonzero()[0]) - 1} right, row {int(rows.nonzero()[0])} wrong"
            hint = "Which line treats later rows of a batch differently from the first ones?"
    return Failure(
        what="the lesson's logits at real sizes, too",
        expected=f"equal logits for a text of {length}",
        got=f"{got_text}, {off(got, expected)}",
        hint=hint,
    )
