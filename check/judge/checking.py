"""One check: all stages of a task or piece on a learner's file, each result as it comes."""

import functools
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from check.judge import partial
from check.judge.learner_file import LearnerFile
from check.judge.process import LearnerProcess
from check.judge.reference import TASKS
from check.judge.result import Broken, Failure, NotStarted, Result, Undecided
from check.judge.stages.start import identity
from check.judge.suites import change, stages_of
from check.judge.zygote import Zygote
from exercises.catalogue import CHANGES

import torch

# Stages that need to know which parameter is which.
READING = frozenset(("logits", "sizes", "dropout", "bidirectional", "initialization", "gradients", "training"))
WITH_CHANGES = "task09_rope"  # the task that asks for any change of newer models
STATUSES = ("error", "fail", "undecided", "not started", "pass")  # the worst first
CODES = {"pass": 0, "fail": 1, "not started": 2, "undecided": 3, "error": 4}


def check(
    name: str,
    path: Path,
    everything: bool = False,
    seed: int = 0,
    official_too: bool = False,
    zygote: Zygote | None = None,
    within: Path | None = None,
    graded: bool = False,
) -> Iterator[Result]:
    """Test one property after the other, and stop at the first that fails (`everything`: go on).

    `zygote`: one that is there already, for many checks. `within`: the folder whose files the file may import.
    `graded`: a file that runs code from a string fails.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    missing = None
    try:
        with LearnerProcess(path, zygote, within) as process:

            def like(exercise: str, head_size: int = 6) -> LearnerFile:
                return LearnerFile(exercise, path, process, seed, official_too, graded, head_size)

            learner = like(name)
            stages = _task09(learner, everything, like) if name == WITH_CHANGES else _stages(learner, everything)
            for result in stages:
                if result.status == "not started" and not everything and not graded:
                    missing = result
                    break
                yield result
        if missing:
            yield partial.judged(name, path, missing, lambda whole: check(name, whole, False, seed, True, zygote))
    except Broken as broken:  # before the first hint
        yield Result("identity", "error", detail=str(broken))
    finally:
        torch.set_num_threads(threads)


def _task09(
    learner: LearnerFile, everything: bool, like: Callable[..., LearnerFile], done: Set[str] = frozenset()
) -> Iterator[Result]:
    """The stages of task 9; where it fails, those of the change that explains it, or that no change is known."""
    tried, passed = False, {*done}
    for result in _stages(learner, everything, done):
        if tried or result.status in ("pass", "not started"):
            passed.add(result.stage)
            yield result
            continue
        early = result.stage in ("interface", "shapes") and not done and not learner.process.ended
        wider = like(learner.name, head_size=8)  # half of 8 coordinates can be turned, half of 6 not
        if early and change.begins(wider):
            yield from _task09(wider, everything, functools.partial(like, head_size=8), done=passed)
            return
        tried = True
        found = change.recognized(learner, result, like)
        if found:
            found.notes.clear()  # they come again with its stages
            for each in _stages(found, everything, done=passed - {"interface", "logits"}):
                each.detail = "; ".join(each.notes) if each.stage == "interface" and each.notes else each.detail
                yield each
            if not found.failed:
                yield Result("training", "pass", detail="not compared: there is no documented run with this change")
            return
        short = change.is_short(result) and not learner.process.ended
        if short:  # what it changes counts, if it changes anything
            for name in CHANGES:  # which may import a lesson, and are not the repository's own
                loaded = _look(identity, like(name))
                if loaded.status != "pass":
                    yield loaded
                    return
            learner.found = learner.process.ask("defined")
            *passes, last = _stages(learner, everything=False, done={"identity"})
            if last.status == "pass":
                yield result
                return
            yield from (loaded, *passes)
            result = last
        if change.is_unknown(learner, result):
            yield from change.without_verdict(learner, result, _look, like)
            return
        yield result
        if short:
            return


def _stages(learner: LearnerFile, everything: bool, done: Set[str] = frozenset()) -> Iterator[Result]:
    """The stages' results. With `everything`, stages that need a failed one are left out: they were not reached.

    A bug that one stage has named does not fail later ones: they compare with the lesson's model with that bug.
    """
    skipped: set[str] = {*done}
    for stage in stages_of(learner.name):
        name = stage.__name__
        if name in skipped:
            continue
        learner.sizes_used = ""
        result = _look(stage, learner)
        if result.status == "fail" and name == "training" and learner.failed:
            return  # what was named before may be the reason
        yield result
        if result.status == "pass":
            continue
        learner.failed.add(name)
        if not everything or result.status == "error" or learner.process.ended or not _goes_on(learner, name):
            return
        if name == "interface":
            skipped.add("generation")
        elif name in ("parameters", "logits") and not learner.hook and learner.arrangement is None:
            skipped |= READING


def _goes_on(learner: LearnerFile, failed: str) -> bool:
    """Whether later stages can still be tested after a stage that fails."""
    if failed == "identity":
        return bool(learner.found.get("names"))
    if failed == "interface":
        try:
            return learner.name in TASKS and bool(learner.small_model())
        except (Failure, NotStarted, Undecided, Broken):
            return False
    return True


def _look(stage, learner: LearnerFile) -> Result:
    """The result of one stage."""
    name, before = stage.__name__, len(learner.notes)
    try:
        detail = stage(learner)
        return Result(name, "pass", detail=learner.in_its_words(detail), notes=learner.notes[before:])
    except NotStarted as missing:
        return Result(name, "not started", detail=str(missing))
    except Undecided as undecided:
        return Result(name, "undecided", detail=str(undecided))
    except Broken as broken:
        return Result(name, "error", detail=str(broken))
    except Failure as failure:
        learner.failure, say = failure, learner.in_its_words
        said = {part: say(getattr(failure, part)) for part in ("what", "expected", "got", "hint")}
        said["got"] = failure.got if failure.source else said["got"]
        said |= {"sizes": say(learner.sizes_used), "source": failure.source, "example": failure.example}
        return Result(name, "fail", shapes=failure.shapes, output=learner.process.printed(), notes=[], **said)
    except Exception as error:  # an answer that is none, say, from a process that was tampered with
        return Result(name, "error", detail=f"the check cannot read what came back: {type(error).__name__}: {error}")


def verdict(results: list[Result]) -> str:
    """The worst status of a check. Without any result nothing was looked at, which is an error."""
    found = {result.status for result in results} or {"error"}
    return next(status for status in STATUSES if status in found)
