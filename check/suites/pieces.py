"""What the suites of the pieces share."""

from collections.abc import Callable
from typing import Any

from check.result import Failure
from check.stages.start import left_out
from check.subject import Subject
from exercises.build import official_signature

import torch

V, C, H, D, T, B = 11, 24, 4, 6, 7, 3  # sizes that tell axes apart


def identity(subject: Subject) -> str:
    """The file is the learner's, and importing it defines things without training."""
    digest = subject.identify()
    found = subject.session.ask("load")
    subject.defined = found["names"]
    return f"{subject.path.name}, SHA-256 {digest}{left_out(found)}"


def contract(subject: Subject, **calls: list) -> str:
    """The functions are there and take their arguments; what they answer is for later stages."""
    for name, arguments in calls.items():
        signature = official_signature(subject.name, name)
        if not subject.session.ask("has", function=name):
            raise Failure(
                what=f"the file defines {name}",
                expected=f"{name}{signature}",
                got=f"no such name among {', '.join(subject.defined[-8:])}",
                question=f"What is the function called that is {name}?",
            )
        problem = subject.session.ask("signature", function=name, arguments=arguments, keywords={})
        if problem:
            raise Failure(
                what=f"{name} takes its arguments",
                expected=f"{name}{signature}",
                got=problem,
                question="Which arguments does it take, and in which order?",
            )
    return f"{' and '.join(calls)}: there"


def call(subject: Subject, function: str, *arguments: Any) -> torch.Tensor:
    """What a function returns, as a tensor."""
    return subject.session.ask("call", function=function, arguments=list(arguments))["value"]


def registry() -> tuple[list[Callable[[Subject], str]], Callable[[Callable], Callable]]:
    """A suite's list of stages, and the decorator that adds to it."""
    stages: list[Callable[[Subject], str]] = [identity]

    def stage(function: Callable) -> Callable:
        stages.append(function)
        return function

    return stages, stage
