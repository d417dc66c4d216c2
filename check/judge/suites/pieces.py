"""What the suites of the pieces share."""

from check.judge.learner_file import LearnerFile
from check.judge.result import Failure
from common.exercises import PARAMETERS
from exercises.build import official_signature

V, C, H, D, T, B = 11, 24, 4, 6, 7, 3  # sizes that tell axes apart


def only(learner: LearnerFile, found: list[str], name: str, signature: str, kind: str = "function") -> str:
    """The learner's name for a function or class. Raises Failure where there is none, or several could be it."""
    if len(found) != 1:
        several, names = f"several that could be it: {', '.join(found)}", ", ".join(learner.found["names"][-8:])
        raise Failure(
            what=f"the file defines {name}",
            expected=signature,
            got=several if found else f"no such {kind} among {names}",
            hint=f"Which of these is {name}?" if found else f"What is the {kind} called that is {name}?",
        )
    return found[0]


def contract(learner: LearnerFile, *names: str) -> str:
    """The functions are there, by their names or others, and take their arguments; what they answer is for later."""
    said = []
    for name in names:
        signature = f"{name}{official_signature(learner.name, name)}"
        found = only(learner, learner.process.ask("functions", function=name), name, signature)
        problem = learner.process.ask("takes", function=name) if name in PARAMETERS else ""
        if problem:
            raise Failure(
                what=f"{name} takes its arguments",
                expected=signature,
                got=problem,
                hint="Which arguments does it take, and in which order?",
            )
        said.append(name if found == name else f"{found}, which is {name} here")
    return f"{' and '.join(said)}: there"
