"""How many parameters a model has, and whether they can be told apart."""

import dataclasses
import re

from check.judge import matching
from check.judge.learner_file import LearnerFile, Model
from check.judge.matching import Sizes, Unreadable, count
from check.judge.reference import Task
from check.judge.result import Failure
from check.judge.stages.seen import Named
from common.exercises import CLASSES, WHOLE

CHOSEN = re.compile(r"bias|one \(V, C\) table")  # what newer models leave out
SEPARATE = "Is each of them made separately, or is one used several times, as by [module] * n?"


def parameters(learner: LearnerFile) -> str:
    """As many as in the lesson's model, except for biases that do not matter."""
    model, task = learner.small_model(), learner.task
    expected, got, shared = count(learner.task, model.sizes), model.count(), shared_modules(model)
    # Of a change of task 9, biases are free, and the width of a gated MLP: that each part is there is compared.
    allowed = bool(task.change) or got - expected in allowed_differences(task, model.sizes)
    named: list[str] = []
    others: list[str] = []
    reason = ""
    try:
        named, others = matching.differences(task, learner.structure(model))
    except Unreadable as unreadable:
        if allowed and not (task.change and shared):
            raise
        reason = f"{unreadable.reason}; "
    if task.change and (shared or named):
        raise Failure(
            what="the parts of the model",
            expected="task 9's, but for the change, each made separately",
            got="; ".join([*shared, *named]),
            hint="Is each block made separately?" if shared else _question_of_norms(named) or "Which is too many?",
        )
    if named or not allowed:
        difference = f", {abs(got - expected)} {'more' if got > expected else 'fewer'}" * (not allowed)
        lacking = got < expected and any(not CHOSEN.search(each) for each in named)
        hint = _question_of_norms(named) or _question_of_count(learner, model.sizes, got - expected)
        raise (Named if shared or lacking else Failure)(  # more than the lesson has may be a change
            what="the number of parameters",
            expected=f"{expected} for V = {model.sizes.V}, n_embd = {model.sizes.C}",
            got=f"{got}{difference}: {'; '.join([*shared, *named, *others]) or reason + _parts(learner, model)}",
            hint=SEPARATE if shared else hint,
        )
    if others:
        raise Unreadable("; ".join(others))
    return f"{got:,} at the check's sizes"


def shared_modules(model: Model) -> list[str]:
    """Modules with parameters that have several names, the outermost alone, in every block alike."""
    owners = [name.rpartition(".")[0] for name in model.names]
    held = [names for names in model.shared if any(f"{owner}.".startswith(f"{names[0]}.") for owner in owners)]
    inner = {name for names in held for other in held for name in names if any(name.startswith(f"{n}.") for n in other)}
    found = (f"{', '.join(names[:-1])} and {names[-1]} are one module" for names in held if not inner & {*names})
    return [*{re.sub(r"\d+", "#", each): each for each in reversed([*found])}.values()][::-1]


def allowed_differences(task: Task, sizes: Sizes) -> set[int]:
    """By how much a right count may differ: biases in queries, keys and values, none in the projection."""
    biases = {sizes.L * extra * sizes.H * sizes.D for extra in range(4 if task.attention else 1)}
    return biases | ({extra - sizes.L * sizes.C for extra in biases} if task.projection else set())


def _parts(learner: LearnerFile, model: Model) -> str:
    """How many parameters each layer has, those that differ in numbers alone together."""
    own = "module." if learner.name in CLASSES and learner.name not in WHOLE else ""  # else the check's own layers
    sizes: dict[str, int] = {}
    for name, value in zip(model.names, model.first_values, strict=True):
        if name.startswith(own):
            name = name.removeprefix(own)
            part = name.rpartition(".")[0] or name
            sizes[part] = sizes.get(part, 0) + value.numel()
    parts: dict[str, list[int]] = {}
    for part, size in sizes.items():
        parts.setdefault(re.sub(r"\d+", "#", part), []).append(size)
    return ", ".join(f"{name} {f'{len(all_)} × ' * (len(all_) > 1)}{all_[0]}" for name, all_ in parts.items())


def _question_of_norms(named: list[str]) -> str:
    hint = "Which sums does the lesson normalize, and does each of them have its own norm?"
    return hint if any("norm" in each for each in named) else ""


def _question_of_count(learner: LearnerFile, sizes: Sizes, difference: int) -> str:
    """The hint that leads to what is missing or too many."""
    V, C = sizes.V, sizes.C
    biases = {extra * sizes.L * C for extra in range(4)}
    numbers = [value.numel() for value in learner.small_model().first_values]
    if learner.task.rotary and difference != 0 and sizes.T * C in numbers:
        return "Does your model have another feature than rotary positions? There is no check for it."
    if learner.task.tied and difference in {V * C + more for more in biases | {V}}:
        return "Are the weights of the output layer the token embedding's own, one parameter for both?"
    if learner.task.projection and difference in {more - sizes.L * (C * C + C) for more in biases}:
        return "Which layer mixes the heads after they are put side by side?"
    one = dataclasses.replace(sizes, L=1)  # one block, or one head, is used for all
    heads = 3 * sizes.D * C * (sizes.H - 1) * sizes.L * learner.task.attention
    for what, fewer in {"block": count(learner.task, sizes) - count(learner.task, one), "head": heads}.items():
        if fewer and -difference in {fewer - more for more in biases}:
            return f"Is each {what} made separately, or is one of them used several times, as by [{what}] * n?"
    return "Which layer is missing, shared, or too many? Which has a bias too many or too few?"
