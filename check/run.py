"""One check: all stages of a task or piece on a learner's file, each result as it comes."""

from collections.abc import Iterator
from pathlib import Path

from check.result import Broken, Failure, NotStarted, Result, Undecided
from check.session import Session
from check.subject import Subject
from check.suites import stages_of
from check.zygote import Zygote

import torch

NEEDED = ("identity", "interface", "parameters", "logits")  # later stages build on these
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
    """Look at one property after the other, and stop at the first that does not hold (`everything`: go on).

    `zygote`: one that is there already, for many checks. `within`: the folder whose files the file may import.
    `graded`: a file that runs code from a string fails.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Session(path, zygote, within) as session:
            yield from _stages(Subject(name, path, session, seed, official_too, graded), everything)
    except Broken as broken:  # before the first question
        yield Result("identity", "error", detail=str(broken))
    finally:
        torch.set_num_threads(threads)


def _stages(subject: Subject, everything: bool) -> Iterator[Result]:
    for stage in stages_of(subject.name):
        subject.sizes_used = ""
        result = _look(stage, subject)
        yield result
        ended = result.status == "error" or stage.__name__ in NEEDED or not subject.session.lives()
        if result.status != "pass" and (ended or not everything):
            return


def _look(stage, subject: Subject) -> Result:
    """The result of one stage."""
    name, before = stage.__name__, len(subject.notes)
    try:
        detail = stage(subject)
        return Result(name, "pass", detail=detail, notes=subject.notes[before:])
    except NotStarted as missing:
        return Result(name, "not started", detail=str(missing))
    except Undecided as undecided:
        return Result(name, "undecided", detail=str(undecided))
    except Broken as broken:
        return Result(name, "error", detail=str(broken))
    except Failure as failure:
        return _failed(name, failure, subject.sizes_used, subject.session.printed())
    except Exception as error:  # an answer that is none, say, from a process that was tampered with
        return Result(name, "error", detail=f"the check cannot read what came back: {type(error).__name__}: {error}")


def _failed(name: str, failure: Failure, sizes: str, output: str) -> Result:
    return Result(
        name,
        "fail",
        what=failure.what,
        expected=failure.expected,
        got=failure.got,
        hint=failure.question,
        sizes=sizes,
        shapes=failure.shapes,
        source=failure.source,
        output=output,
        example=failure.example,
    )


def verdict(results: list[Result]) -> str:
    """The worst status of a check. Without any result nothing was looked at, which is an error."""
    found = {result.status for result in results} or {"error"}
    return next(status for status in STATUSES if status in found)
