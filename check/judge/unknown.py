"""Task 9 with another change than rotary positions: which of variants/ it is, or that the check knows none like it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from check.judge import changes
from check.judge.learner_file import LearnerFile
from check.judge.result import Failure, NotStarted, Result, Undecided
from check.judge.stages import logits, wrongs
from check.judge.stages.generation import generation
from check.judge.stages.parameters import parameters
from check.judge.stages.seen import Named
from check.judge.stages.start import identity
from check.judge.suites import change as suite
from check.judge.suites.encoder import layers
from exercises.catalogue import CHANGES

UNKNOWN = "unknown change"
LATE = ("position", "parameters", "logits")  # stages at which a change is seen
# What the check can name, and what people choose: another activation, attention and MLP side by side
# (https://arxiv.org/abs/2204.02311), norms of the branches' outputs (https://arxiv.org/abs/2501.00656).
CHOICES = {"activation": wrongs.OTHER_ACTIVATIONS, "parallel": (True,), "norm": ("after",)}


def recognized(first: LearnerFile, failed: Result, like: Callable[[str], LearnerFile]) -> LearnerFile | None:
    """The learner's file under the change that explains it; None where none does.

    `first`: the file as task 9, which `failed`; `like`: the file as another exercise. A change that explains all
    comes before a bug of task 9, and that before a bug of a change.
    """
    from_task09 = failed.stage == "identity" and "it imports" in failed.got  # as short a file as those of variants/
    if not first.process.lives() or not (from_task09 or failed.stage in (*LATE, "sizes")):
        return None
    candidates = []
    for name in CHANGES:
        learner = like(name)
        with contextlib.suppress(Failure, Undecided, NotStarted):
            identity(learner) if from_task09 else learner.know(learner.process.ask("defined"))
            suite.interface_of_change(learner)
            parameters(learner)
            if logits.matched(learner):
                return learner
            candidates += [learner] * (not learner.squares)  # task 9's own MLP
    if isinstance(first.failure, Named):
        return None
    bugs = ((each, logits.known_bug(each)) for each in candidates)
    return next((each for each, bug in bugs if bug and bug.explains_all), None)


def is_unknown(learner: LearnerFile, failed: Result) -> bool:
    """Whether no bug that is known explains a file that fails as task 9."""
    explained = isinstance(learner.failure, Named) and not is_choice(learner.failure)
    return failed.stage in LATE and failed.status in ("fail", "undecided") and not explained


def is_choice(failure: Failure | None) -> bool:
    """Whether what explains all logits is not a bug in task 9, but a choice."""
    if not isinstance(failure, Named) or not failure.explains_all:
        return False
    return bool(failure.changes) and all(value in CHOICES.get(name, ()) for name, value in failure.changes.items())


def without_verdict(learner: LearnerFile, failed: Result, look: Callable[..., Result]) -> Iterator[Result]:
    """What is said of an unknown change: no verdict, unless it cannot write or cannot learn."""
    for stage in (generation, layers):
        result = look(stage, learner)
        if result.status != "pass":
            yield replace(result, stage="gradients" if stage is layers else result.stage)
            return
    known = f"neither task 9 nor task 9 with {', '.join(changes.NAMES.values())}"
    what = failed.got.replace("the lesson's model", "task 9") if is_choice(learner.failure) else known
    detail = f"{UNKNOWN}: {what}; no verdict. "
    detail += "`python -m check run FILE` compares its loss with task 9's"
    yield Result(failed.stage, "undecided", detail=detail)
