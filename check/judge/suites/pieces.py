"""What the suites of the pieces share."""

from collections.abc import Callable

from check.judge.learner_file import LearnerFile
from check.judge.result import Failure
from check.judge.stages.start import left_out
from common.exercises import PARAMETERS
from exercises.build import official_signature

V, C, H, D, T, B = 11, 24, 4, 6, 7, 3  # sizes that tell axes apart


def identity(learner: LearnerFile) -> str:
    """The file is the learner's, and importing it defines things without training."""
    digest = learner.identify()
    found = learner.process.ask("load", script=True)
    learner.defined = found["names"]
    return f"{learner.path.name}, SHA-256 {digest}{left_out(learner, found)}"


def contract(learner: LearnerFile, *names: str) -> str:
    """The functions are there, by their names or others, and take their arguments; what they answer is for later."""
    found = []
    for name in names:
        signature = f"{name}{official_signature(learner.name, name)}"
        functions = learner.process.ask("functions", function=name)
        if len(functions) != 1:
            raise Failure(
                what=f"the file defines {name}",
                expected=signature,
                got=f"several that could be it: {', '.join(functions)}"
                if functions
                else f"no such name among {', '.join(learner.defined[-8:])}",
                hint=f"Which of these is {name}?" if functions else f"What is the function called that is {name}?",
            )
        problem = learner.process.ask("takes", function=name) if name in PARAMETERS else ""
        if problem:
            raise Failure(
                what=f"{name} takes its arguments",
                expected=signature,
                got=problem,
                hint="Which arguments does it take, and in which order?",
            )
        found.append(name if functions == [name] else f"{functions[0]}, which is {name} here")
    return f"{' and '.join(found)}: there"


def registry() -> tuple[list[Callable[[LearnerFile], str]], Callable[[Callable], Callable]]:
    """A suite's list of stages, and the decorator that adds to it."""
    stages: list[Callable[[LearnerFile], str]] = [identity]

    def stage(function: Callable) -> Callable:
        stages.append(function)
        return function

    return stages, stage
