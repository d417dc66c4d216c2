"""One check: all stages of a task or piece on a learner's file, each result as it comes."""

from collections.abc import Iterator
from pathlib import Path

from check.result import Broken, Failure, NotStarted, Result, Undecided
from check.session import Session
from check.subject import Subject
from check.suites import stages_of

import torch

NEEDED = ("identity", "interface", "parameters", "logits")  # later stages build on these
STATUSES = ("error", "fail", "undecided", "not started", "pass")  # the worst first
CODES = {"pass": 0, "fail": 1, "not started": 2, "undecided": 3, "error": 4}


def check(
    name: str, path: Path, everything: bool = False, seed: int = 0, official_too: bool = False
) -> Iterator[Result]:
    """Look at one property after the other, and stop at the first that does not hold (`everything`: go on)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield from _stages(name, path, everything, seed, official_too)
    finally:
        torch.set_num_threads(threads)


def _stages(name: str, path: Path, everything: bool, seed: int, official_too: bool) -> Iterator[Result]:
    stage_name = "identity"
    try:
        with Session(path) as session:
            subject = Subject(name, path, session, seed, official_too)
            for stage in stages_of(name):
                stage_name, subject.sizes_used = stage.__name__, ""
                result = _look(stage, subject)
                yield result
                dead = session.process is not None and session.process.poll() is not None
                if result.status != "pass" and (
                    not everything or result.status == "error" or stage_name in NEEDED or dead
                ):
                    return
    except Failure as failure:  # before the first question
        yield _failed(stage_name, failure, "", "")
    except Broken as broken:
        yield Result(stage_name, "error", detail=str(broken))
    except Exception as error:  # an answer that is none, say, from a process that was tampered with
        detail = f"the check cannot read what came back: {type(error).__name__}: {error}"
        yield Result(stage_name, "error", detail=detail)


def _look(stage, subject: Subject) -> Result:
    """The result of one stage."""
    name = stage.__name__
    try:
        return Result(name, "pass", detail=stage(subject))
    except NotStarted as missing:
        return Result(name, "not started", detail=str(missing))
    except Undecided as undecided:
        return Result(name, "undecided", detail=str(undecided))
    except Broken as broken:
        return Result(name, "error", detail=str(broken))
    except Failure as failure:
        return _failed(name, failure, subject.sizes_used, subject.session.printed())


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
        output=output,
    )


def verdict(results: list[Result]) -> str:
    """The worst status of a check. Without any result nothing was looked at, which is an error."""
    found = {result.status for result in results} or {"error"}
    return next(status for status in STATUSES if status in found)
