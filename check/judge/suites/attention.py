"""attention(q, k, v, mask) and causal_mask(T); or attention(q, k, v), causal or without a mask, and mask(scores)."""

from dataclasses import replace

from check.judge import reference
from check.judge.learner_file import B, LearnerFile, close, off
from check.judge.reference import Form
from check.judge.result import Failure, NotStarted
from check.judge.stages.reads import where_not_finite
from check.judge.stages.start import contract, identity, only
from check.judge.stages.wrongs import OPEN, WRONG_MASKS, WRONG_SCORES

import torch
from torch.nn import functional as F

H, T = 4, 7
D, E = 6, 5  # widths of keys and of values
USES = {
    "mask": "attention takes a mask",
    "flag": "attention takes a flag and makes its own mask",
    "causal": "attention makes its own causal mask",
    "none": "attention takes no mask and makes none: the check does not compare how the two work together",
}


def interface(learner: LearnerFile) -> str:
    """causal_mask(T) and attention(q, k, v, mask)."""
    if _has_no_mask(learner):
        used = _used(learner)
        if used in ("mask", "none"):
            only(learner, [], "causal_mask", "causal_mask(T)")
        return f"{contract(learner, 'attention')}; {USES[used]}, and no other function makes one"
    found = contract(learner, "causal_mask", "attention")
    missing = []
    mask, attend = lambda: _mask(learner, T), lambda: _attend(learner, _vectors(learner), _past())
    for name, try_it in (("causal_mask", mask), ("attention", attend)):
        try:
            try_it()
        except NotStarted:
            missing.append(name)
        except Failure:  # a later stage says more about it
            pass
    if missing == ["attention"]:
        _is_causal(learner)
    if missing:
        raise NotStarted(f"write {' and '.join(missing)}" + " (1 of 2 is written)" * (len(missing) == 1))
    return f"{found}; {USES[_used(learner)]}"


def shapes(learner: LearnerFile) -> str:
    """Vectors (…, T, D), (…, T, D), (…, T, E) → (…, T, E); mask (T, T)."""
    for length in (1, 3, T):
        mask = _mask(learner, length)
        if tuple(mask.shape)[-2:] != (length, length) or mask.numel() != length**2:
            raise Failure(
                what="a mask has a row for each query and a column for each key",
                expected=(length, length),
                got=tuple(mask.shape),
                hint="What is the shape of the table of all scores?",
            )
        for front in ((), (B,), (B, H)):
            got = tuple(_attend(learner, _vectors(learner, length, front), mask)["value"].shape)
            if got != (*front, length, E):
                raise Failure(
                    what="(…, T, D), (…, T, D) and (…, T, E) give (…, T, E)",
                    expected=(*front, length, E),
                    got=got,
                    hint="Which axes does each product join: the last two, whatever comes before them?",
                )
    return f"any axes in front, T from 1 to {T}, values with another width than keys"


def steadiness(learner: LearnerFile) -> str:
    """All numbers are finite, rows of the batch do not influence each other, and arguments are not changed."""
    vectors = _vectors(learner, scale=30.0)
    mask = _mask(learner, T)
    answer = _attend(learner, vectors, mask)
    if not all(torch.equal(vector, old) for vector, old in zip(answer["arguments"], [*vectors, mask], strict=True)):
        raise Failure(
            what="attention leaves its arguments as they were",
            expected="the same q, k, v and mask after the call",
            got="others",
            hint="Which operation works in place (its name ends in _, or it is *=)?",
        )
    got = answer["value"]
    if not got.isfinite().all():
        where, hint = where_not_finite(got)
        raise Failure(
            what="the output is finite",
            expected="numbers",
            got=f"{int((~got.isfinite()).sum())} infinite or not a number" + f", {where}" * bool(where),
            hint=hint,
        )
    alone = _attend(learner, [vector[:1] for vector in vectors], mask)["value"]
    if not close(alone, got[:1]):
        raise Failure(
            what="a row does not depend on the rest of the batch",
            expected="the same output as without the other rows",
            got=off(alone, got[:1]),
            hint="Which operation mixes along the first axis?",
        )
    return "finite, rows independent, arguments untouched"


def causality(learner: LearnerFile) -> str:
    """The mask separates past and future, and attention follows it, also if scores are large."""
    if not _has_no_mask(learner):
        _is_causal(learner)
    if _used(learner) == "none":
        return f"no query may look ahead (T = {T} and 300)"
    for scale in (1.0, 100.0):
        vectors = _vectors(learner, front=(8 * B,), scale=scale)
        before = _masked(learner, _past(), *vectors)
        for t in range(1, T):
            later = torch.arange(T)[:, None] >= t  # (T, 1)
            got = _masked(learner, _past(), *(torch.where(later, -x, x) for x in vectors))
            if not close(got[:, :t], before[:, :t]):
                bug, hint = None, "Do masked scores become -inf before the softmax, or just small?"
                if scale == 1:
                    bug = _bug(before, _past(), *vectors)
                    hint = "Is the mask applied to scores or to weights, and along which axis does the softmax go?"
                raise Failure(
                    what="outputs do not depend on later vectors",
                    expected=f"positions before {t} do not see the rest",
                    got=off(got[:, :t], before[:, :t]) + (f": attention {bug.name}" if bug else ""),
                    hint=bug.hint if bug else hint,
                )
    return f"no query sees ahead (T = {T} and 300)"


def _is_causal(learner: LearnerFile) -> None:
    """The table of the mask is a lower triangle of two values, and a mask of scores keeps those of the past."""
    for length in (T, 300):
        mask = _mask(learner, length).reshape(length, length)
        look, blind = mask[-1, 0], mask[0, -1]
        wrong = (mask != torch.where(_past(length), look, blind)).nonzero().tolist()
        if wrong or look == blind:
            row, column = wrong[0] if wrong else (0, 1)
            said, hint = _triangle(learner, mask)
            raise Failure(
                what="the mask has one value for the past and the position itself, and another for the future",
                expected="a lower triangle",
                got=f"row {row}, column {column}: {mask[row, column].item()}{said}",
                hint=hint,
            )
    scores = torch.randn(T, T, generator=learner.generator(2))
    masked = learner.process.ask("masked_scores", scores=scores)
    table = _mask(learner, T)  # also of a mask that takes no more of scores than their shape
    if masked is None or torch.equal(masked.to(table.dtype), table):
        return
    if not torch.equal(masked.reshape(T, T)[_past()], scores[_past()]):
        raise Failure(
            what="a mask does not change the scores of the past",
            expected="equal scores at and below the diagonal",
            got=off(masked.reshape(T, T)[_past()], scores[_past()]),
            hint="Which entries does the mask replace?",
        )


def _triangle(learner: LearnerFile, mask: torch.Tensor) -> tuple[str, str]:
    """Which table a wrong mask (T, T) is, and the hint that leads to why."""
    past, future = mask[-1, 0], mask[0, -1]
    if (mask == past).all():
        return ", as everywhere", "Which entries of the mask differ: is there a triangle (tril, triu)?"
    later = mask == future
    diagonal = next((n for n in range(-1, 3) if torch.equal(later, torch.ones_like(later).triu(n))), None)
    if diagonal is None:
        return "", "Which columns may the row of query t look at: from where, up to where?"
    if diagonal == 0 and _looks_ahead(learner, _mask(learner, T)):
        return ": the past is hidden, and the future is visible", f"Which triangle is hidden? {OPEN}"
    meant = {0: "each position is hidden from itself", 2: "the next position is visible, too"}
    said = meant.get(diagonal, f"the triangle begins at diagonal {diagonal}")
    return f": {said}", "At which diagonal does the mask begin?"


def _looks_ahead(learner: LearnerFile, mask: torch.Tensor | None) -> bool:
    """Whether the first position sees later ones, with this mask."""
    vectors = _vectors(learner)
    others = [torch.where(torch.arange(T)[:, None] >= 1, -x, x) for x in vectors]
    before, after = (_attend(learner, each, mask)["value"][:, 0] for each in (vectors, others))
    return not close(before, after)


def formula(learner: LearnerFile) -> str:
    """What PyTorch's own function computes, for the causal mask and for another, also for scores of exactly 0."""
    for what, pattern in _patterns(_used(learner)).items():
        first, k, v = _vectors(learner, front=(B, H))
        for name, q in ((what, first), (f"{what} and queries of 0", 0 * first)):
            got = _masked(learner, pattern, q, k, v)
            expected = F.scaled_dot_product_attention(q, k, v, pattern)
            if not close(got, expected):
                hint = "Scale, order of operations, axis of the softmax: which differs from the paper's formula?"
                bug = _bug(got, pattern, q, k, v)
                if what == "another mask":
                    hint = "Does attention use the mask it is given, or one of its own?"
                if "0" in name:
                    hint = "Does the mask hide by position, or does it hide whatever is 0?"
                raise Failure(
                    what=f"equal to F.scaled_dot_product_attention for {name}",
                    expected="equal outputs",
                    got=off(got, expected) + (f": attention {bug.name}" if bug else ""),
                    hint=bug.hint if bug else hint,
                )
    return f"equal to F.scaled_dot_product_attention, for {' and '.join(_patterns(_used(learner)))}"


def _bug(got: torch.Tensor, pattern: torch.Tensor | None, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor):
    """A known bug that gives these outputs, or None."""
    known = [each for each in [*WRONG_SCORES, *WRONG_MASKS] if {*each.changes} <= ATTENDED]
    for each in known if pattern is None or torch.equal(pattern, _past()) else []:
        form = replace(Form(mask="none" if pattern is None else "-inf"), **each.changes)
        if close(got, reference.attend(q, k, v, form)) and not close(got, reference.attend(q, k, v, Form())):
            return each
    return None


ATTENDED = {"scale", "mask", "softmax", "transposed", "weights_scaled"}


def gradients(learner: LearnerFile) -> str:
    """Queries, keys and values learn."""
    mask = _mask(learner, T)
    got = learner.process.ask("attend_gradients", vectors=_vectors(learner), mask=mask)
    q, k, v = vectors = [vector.requires_grad_() for vector in _vectors(learner)]
    F.scaled_dot_product_attention(q, k, v, None if _used(learner) == "none" else _past()).square().sum().backward()
    for name, gradient, vector in zip(("queries", "keys", "values"), got, vectors, strict=True):
        if gradient is None or not close(gradient, vector.grad, 1e-3):
            raise Failure(
                what=f"{name} get the gradient that the formula gives",
                expected="an equal gradient",
                got="none" if gradient is None else off(gradient, vector.grad),
                hint="Is something detached, copied or rounded on the way?",
            )
    return "queries, keys and values get their gradients"


def _vectors(learner: LearnerFile, length: int = T, front: tuple[int, ...] = (B,), scale: float = 1.0) -> list:
    """q, k (…, T, D) and v (…, T, E) of normal numbers."""
    generator = learner.generator(1)
    return [scale * torch.randn(*front, length, width, generator=generator) for width in (D, D, E)]


def _past(length: int = T) -> torch.Tensor:
    return torch.ones(length, length, dtype=torch.bool).tril()


def _patterns(used: str) -> dict[str, torch.Tensor | None]:
    """Masks (T, T), True where a query may look; every query sees itself. Those that such an attention can be given."""
    drawn = torch.rand(T, T, generator=torch.Generator().manual_seed(2)) < 0.5
    past: dict[str, torch.Tensor | None] = {"the causal mask": _past()}
    other: dict[str, torch.Tensor | None] = {"another mask": drawn | torch.eye(T, dtype=torch.bool)}
    return {"mask": past | other, "flag": past | {"no mask": None}, "causal": past}.get(used, {"no mask": None})


def _used(learner: LearnerFile) -> str:
    """How attention is masked, one of USES."""
    how = learner.process.ask("how_masked")
    if how != "nothing":
        return how
    if _has_no_mask(learner):
        vectors = _vectors(learner)
        return (
            "none" if close(_attend(learner, vectors)["value"], F.scaled_dot_product_attention(*vectors)) else "causal"
        )
    return "none" if _looks_ahead(learner, None) else "causal"


def _has_no_mask(learner: LearnerFile) -> bool:
    """Whether the file's only function is attention, so that no other makes a mask."""
    mask, attention = (learner.process.ask("functions", function=name) for name in ("causal_mask", "attention"))
    return mask == attention


def _mask(learner: LearnerFile, length: int) -> torch.Tensor:
    return _past(length) if _has_no_mask(learner) else learner.process.ask("mask", length=length)


def _attend(learner: LearnerFile, vectors: list, mask: torch.Tensor | None = None) -> dict:
    return learner.process.ask("attend", vectors=vectors, mask=mask)


def _masked(learner: LearnerFile, pattern: torch.Tensor | None, q, k, v) -> torch.Tensor:
    """The learner's attention, with a pattern in the two values of the learner's own causal mask."""
    mask = None
    if pattern is not None:
        own = _mask(learner, T)
        values = own.reshape(T, T)
        mask = torch.where(pattern, values[-1, 0], values[0, -1]).reshape(own.shape)
    return _attend(learner, [q, k, v], mask)["value"]


STAGES = [identity, interface, shapes, steadiness, causality, formula, gradients]
