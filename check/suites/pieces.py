"""What the suites of the pieces share."""

from collections.abc import Callable

from check.result import Failure
from check.stages.start import left_out
from check.subject import Subject
from common.exercises import PARAMETERS
from exercises.build import official_signature

V, C, H, D, T, B = 11, 24, 4, 6, 7, 3  # sizes that tell axes apart


def identity(subject: Subject) -> str:
    """The file is the learner's, and importing it defines things without training."""
    digest = subject.identify()
    found = subject.session.ask("load", script=True)
    subject.defined = found["names"]
    return f"{subject.path.name}, SHA-256 {digest}{left_out(subject, found)}"


def contract(subject: Subject, *names: str) -> str:
    """The functions are there, by their names or others, and take their arguments; what they answer is for later."""
    found = []
    for name in names:
        signature = f"{name}{official_signature(subject.name, name)}"
        functions = subject.session.ask("functions", function=name)
        if len(functions) != 1:
            raise Failure(
                what=f"the file defines {name}",
                expected=signature,
                got=f"several that could be it: {', '.join(functions)}"
                if functions
                else f"no such name among {', '.join(subject.defined[-8:])}",
                question=f"Which of these is {name}?" if functions else f"What is the function called that is {name}?",
            )
        problem = subject.session.ask("takes", function=name) if name in PARAMETERS else ""
        if problem:
            raise Failure(
                what=f"{name} takes its arguments",
                expected=signature,
                got=problem,
                question="Which arguments does it take, and in which order?",
            )
        found.append(name if functions == [name] else f"{functions[0]}, which is {name} here")
    return f"{' and '.join(found)}: there"


def registry() -> tuple[list[Callable[[Subject], str]], Callable[[Callable], Callable]]:
    """A suite's list of stages, and the decorator that adds to it."""
    stages: list[Callable[[Subject], str]] = [identity]

    def stage(function: Callable) -> Callable:
        stages.append(function)
        return function

    return stages, stage
