"""A change of task 9: its stages, as long or short as in variants/; which one a file is, or that none is like it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from check.isolated.notebook import source_of
from check.judge import changes
from check.judge.learner_file import LearnerFile
from check.judge.matching import Unreadable, count
from check.judge.result import Failure, NotStarted, Result, Undecided
from check.judge.stages import logits, wrongs
from check.judge.stages.generation import generation
from check.judge.stages.parameters import parameters
from check.judge.stages.seen import Named
from check.judge.stages.start import identity, interface
from check.judge.suites import task
from check.judge.suites.encoder import layers
from exercises.catalogue import CHANGES

UNKNOWN = "unknown change"
LATE = ("position", "parameters", "logits")  # stages at which a change is seen
NO_EFFECT = {"", "none", "open"}  # of a change's part, in the form of a bug
# What the check can name, and what people choose: another activation, attention and MLP side by side
# (https://arxiv.org/abs/2204.02311), norms of the branches' outputs (https://arxiv.org/abs/2501.00656),
# slower rotations (https://arxiv.org/abs/2309.16039), and forms of a listed change that its own check calls a bug.
CHOICES: dict[str, Callable[[Any], bool]] = {
    "activation": lambda kind: kind in wrongs.OTHER_ACTIVATIONS,
    "parallel": lambda found: found,
    "norm": lambda kind: kind == "after",
    "base": lambda number: number > 20_000,
    "norm_kind": lambda kind: kind == "layer",  # LayerNorm without biases, as in nanoGPT
    "gated": lambda kind: kind in ("gelu", "sigmoid", "relu", "none"),  # https://arxiv.org/abs/2002.05202
}

NAMED = {"rmsnorm": "rms", "swiglu": "swi"}  # a file with this word means the change itself
MISSING = {  # change → what a model without it lacks, what is expected, a hint
    "convolutions": (
        "the model has shares of earlier positions",
        "a parameter for each of them, named like a convolution",
        "Which parameter says how much of the position before is added?",
    ),
    "gate": ("attention's output has a gate", "a matrix for the gate in each block", "Which layer makes the gate?"),
    "grouped_queries": (
        "the model has fewer heads of keys and values than of queries",
        "a field of Config for their number, as n_kv_head, or a fixed number",
        "How many heads of keys are there for six heads of queries?",
    ),
}


def interface_of_change(learner: LearnerFile) -> str:
    """As in task 9, with the size that the change adds."""
    said = interface(learner)
    model, change = learner.small_model(), learner.task.change
    if change == "swiglu":
        wide = sum(value.numel() == 4 * model.sizes.C**2 for value in model.first_values)
        if wide == 2 * model.sizes.L:
            learner.chosen |= {"gated": False, "activation": "relu²"}
    own, more = _own(learner), model.count() - count(learner.task, model.sizes)
    plain = {
        "convolutions": own == [],
        "gate": more < model.sizes.L * model.sizes.C * model.sizes.H,  # a number for each head, or for each channel
        "grouped_queries": model.sizes.K == model.sizes.H,
    }
    if plain.get(change):
        what, expected, hint = MISSING[change]
        raise Failure(what=what, expected=expected, got="the parameters of task 9", hint=hint)
    if change == "value_residual":
        total = sum(own or [])
        learner.chosen["numbers"] = total // (model.sizes.L if total % model.sizes.L == 0 else model.sizes.L - 1)
    if change == "qk_norm":
        learner.chosen["numbers"] = sum(size in (1, model.sizes.H) for size in own or [])
    name = "ReLU²" if "activation" in learner.chosen else changes.NAMES[change]
    learner.note(f"task {9 if learner.task.rotary else 7} with {name}")
    return said


def _own(learner: LearnerFile) -> list[int] | None:
    """The numbers of elements of the parameters that only the change has; None where they cannot be told."""
    model = learner.small_model()
    with contextlib.suppress(Unreadable):
        structure = learner.structure(model)
        own = [*structure.outer, *(part for block in structure.extras for part in block)]
        return [model.first_values[i].numel() for part in own for i in part]
    return None


interface_of_change.__name__ = "interface"
STAGES = [interface_of_change if stage is interface else stage for stage in task.STAGES if stage.__name__ != "training"]


# Which change it is


def recognized(first: LearnerFile, failed: Result, like: Callable[[str], LearnerFile]) -> LearnerFile | None:
    """The learner's file under the change that explains it; None where none does.

    `first`: the file as task 9, which `failed`; `like`: the file as another exercise. A change that explains all
    comes before a bug of task 9, and that before a bug of a change. It may also be made to task 7, whose positions are
    learned.
    """
    from_task09 = is_short(failed)
    if first.process.ended or not (from_task09 or failed.stage in (*LATE, "sizes")):
        return None
    candidates, positions = [], {"rotary": False} if _has_table(first) else {}
    for name in CHANGES:
        learner = like(name)
        learner.chosen |= positions
        with contextlib.suppress(Failure, Undecided, NotStarted):
            if from_task09:
                identity(learner)
            if _fits(learner, interface_of_change):
                return learner
            candidates += [learner] * ("activation" not in learner.chosen)  # task 9's own MLP
    if isinstance(first.failure, Named):
        return None
    for each in candidates:
        bug = logits.known_bug(each)
        if bug and _explains_all(bug) and _shows(each, bug):
            names_it = NAMED.get(each.task.change, "") in source_of(each.path).decode(errors="replace").lower()
            if names_it or not is_choice(bug):
                return each
            chosen = f"task {9 if each.task.rotary else 7} with {changes.NAMES[each.task.change]}, but"
            bug.got, first.failure = bug.got.replace("the lesson's model", chosen), bug
            return None
    return None


def begins(learner: LearnerFile) -> bool:
    """Whether a file's model can be built, and gives logits."""
    with contextlib.suppress(Failure, Undecided, NotStarted):
        learner.found = learner.process.ask("defined")
        interface(learner)
        model = learner.small_model()
        return bool(len(learner.logits(model, learner.tokens(1, model.sizes.T, model.sizes.V))))
    return False


def is_short(failed: Result) -> bool:
    """Whether a file is as short as those of variants/, and takes the rest from a lesson."""
    return failed.stage == "identity" and "it imports" in failed.got


def _has_table(learner: LearnerFile) -> bool:
    """Whether a file's model has a table of positions."""
    with contextlib.suppress(Failure, Undecided, NotStarted):
        model = learner.small_model()
        return model.sizes.T * model.sizes.C in [value.numel() for value in model.first_values]
    return False


def _fits(learner: LearnerFile, begins: Callable[[LearnerFile], str]) -> bool:
    """Whether a file computes what an exercise asks for, whose interface stage is `begins`. Raises as stages do."""
    learner.found = learner.process.ask("defined")
    begins(learner)
    parameters(learner)
    return logits.matched(learner)


def _explains_all(bug: Named) -> bool:
    """Whether a bug explains all logits. A table of positions that is not used is one next to other positions."""
    return bug.explains_all and bool(bug.changes) and "positions" not in bug.changes


def _shows(learner: LearnerFile, bug: Named) -> bool:
    """Whether a bug of a change shows that change: one without its effect is task 9, but for parameters of its own."""
    model = learner.small_model()
    if learner.task.change in ("qk_norm", "value_residual", "convolutions", "alibi", "sliding_window"):
        more = bool(_own(learner))  # the last two have none: biases are no sign of them
    else:
        more = model.count() > count(learner.task, model.sizes)
    return more or not NO_EFFECT & {*map(str, bug.changes.values())}


def is_unknown(learner: LearnerFile, failed: Result) -> bool:
    """Whether no bug that is known explains a file that fails as task 9."""
    if failed.stage not in LATE or failed.status not in ("fail", "undecided") or learner.process.ended:
        return False
    named = isinstance(learner.failure, Named) and not is_choice(learner.failure)
    return not named or _norms_have_no_parameters(learner)


def _norms_have_no_parameters(learner: LearnerFile) -> bool:
    """Whether a model has norms without parameters: if all tables grow, its logits grow as the output layer does."""
    with contextlib.suppress(Failure, Undecided, NotStarted):
        model, grown = learner.small_model(), 1000.0
        if any(value.ndim < 2 and bool((value == 1).all()) for value in model.first_values):
            return False
        tokens = learner.tokens(1, model.sizes.T, model.sizes.V)
        tables = [value * (grown if model.sizes.V in value.shape else 1) for value in model.values]
        before = learner.logits(model, tokens).abs().max()
        with learner.with_values(model, tables):
            return bool(learner.logits(model, tokens).abs().max() < 10 * grown * before)
    return False


def is_choice(failure: Failure | None) -> bool:
    """Whether what explains all logits is not a bug in task 9, but a choice."""
    if not isinstance(failure, Named) or not failure.explains_all:
        return False
    chosen = [name in CHOICES and CHOICES[name](value) for name, value in failure.changes.items()]
    return bool(chosen) and all(chosen)


def without_verdict(
    learner: LearnerFile, failed: Result, look: Callable[..., Result], like: Callable[[str], LearnerFile]
) -> Iterator[Result]:
    """What is said of an unknown change: no verdict, unless it cannot write or cannot learn, or is a bug in task 7."""
    seventh, is_seventh = like("task07"), False
    with contextlib.suppress(Failure, Undecided, NotStarted):
        is_seventh = _fits(seventh, interface) and bool(logits.sizes(seventh))
        bug = None if is_seventh else logits.known_bug(seventh)
        if bug and _explains_all(bug) and not is_choice(bug):
            yield look(logits.logits, seventh)
            return
    for stage in (generation, layers):
        result = look(stage, learner)
        if result.status != "pass":
            yield replace(result, stage="gradients" if stage is layers else result.stage)
            return
    what = f"neither task 9, nor task 9 or 7 with {', '.join(changes.NAMES.values())}"
    if learner.failure and is_choice(learner.failure):
        what = learner.failure.got.replace("the lesson's model", "task 9")
    elif _norms_have_no_parameters(learner):
        what = "task 9 with norms that have no parameters"
    if is_seventh:
        what = "the model is task 7's, and how it trains and writes is not compared"
    detail = f"{UNKNOWN}: {what}; no verdict. "
    detail += "`python -m check run FILE` compares its loss with task 9's"
    yield Result(failed.stage, "undecided", detail=detail)
