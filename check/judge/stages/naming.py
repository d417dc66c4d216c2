"""How a model differs from the lesson's: by a known bug, by two bugs, by a factor; or the part in which it differs."""

from collections.abc import Sequence

from check.judge import reference
from check.judge.arrangements import Arrangement
from check.judge.learner_file import LearnerFile
from check.judge.reference import Weights
from check.judge.result import Failure
from check.judge.stages.scores import explain_scores, logits_scaled
from check.judge.stages.seen import (
    MOST_PAIRS,
    WHAT,
    Named,
    Reading,
    Seen,
    forms_of,
    likeliest,
    matters,
    named,
    score_bugs,
    search,
    told_apart,
)
from check.judge.stages.wrongs import (
    WRONG_PARTS,
    of_change,
    right_forms,
    right_parts,
)

import torch


def explain(seen: Seen, hows: Sequence[Arrangement], fitting: Sequence[Arrangement]) -> Failure:
    """Why no reading of the parameters gives the learner's logits. `fitting`: those that do for one token."""
    idle = seen.idle()
    readings = seen.read(fitting or hows)
    if fitting:
        found: Failure | None = explain_scores(seen, readings, pairs=not idle)
    else:
        found = _parts(seen, readings, pairs=not idle) or logits_scaled(seen, readings)
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


def _parts(seen: Seen, readings: list[Reading], pairs: bool) -> Failure | None:
    """Not even one token gives the right logits: a bug of the layers, or two, and perhaps one of the scores."""
    distinct = told_apart(seen, readings)
    bases = right_parts(seen.learner)
    bugs = [*of_change(seen.learner), *WRONG_PARTS]
    singles = [(each,) for each in bugs if distinct and matters(seen, distinct[0], each)]
    found = search(seen, distinct, [(), *singles], bases, longer=False)
    if not found and pairs and singles:
        found = search(seen, *likeliest(seen, distinct, singles), bases, longer=False, budget=MOST_PAIRS)
    if not found:
        return None
    wrongs, form, one = found
    fitting = [each for each in readings if seen.agrees(each, form)][:60]
    alike = [each for each in singles if any(seen.agrees(one, form) for form in forms_of(each, bases))]
    extras = [(), *((each,) for each in score_bugs(seen))]
    more = [(*each, *extra) for each in (alike if len(wrongs) == 1 else [wrongs]) for extra in extras]
    whole = search(seen, fitting, more, list(right_forms(seen.learner)), longer=True)
    explained = named(seen, *(whole or found))
    explained.explains_all = whole is not None
    return explained


def _region(seen: Seen, readings: list[Reading]) -> Failure:
    part, hint = _differing_part(seen, told_apart(seen, readings))
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
