"""A change of task 9, whole or as short as in variants/: the stages of task 9, with the change in the reference."""

import contextlib

from check.judge import changes
from check.judge.learner_file import LearnerFile
from check.judge.matching import Unreadable
from check.judge.result import Failure
from check.judge.stages.start import interface
from check.judge.suites import task


def interface_of_change(learner: LearnerFile) -> str:
    """As in task 9, with the size that the change adds."""
    said = interface(learner)
    model, change = learner.small_model(), learner.task.change
    if change == "swiglu":
        wide = sum(value.numel() == 4 * model.sizes.C**2 for value in model.first_values)
        if wide == 2 * model.sizes.L:
            learner.chosen |= {"gated": False, "activation": "relu²"}
    own = _own(learner)
    if change == "convolutions" and own == []:
        raise Failure(
            what="the model has shares of earlier positions",
            expected="a parameter for each of them, named like a convolution",
            got="the parameters of task 9",
            hint="Which parameter says how much of the position before is added?",
        )
    if change == "value_residual":
        total = sum(own or [])
        learner.chosen["numbers"] = total // (model.sizes.L if total % model.sizes.L == 0 else model.sizes.L - 1)
    if change == "qk_norm":
        learner.chosen["numbers"] = sum(size in (1, model.sizes.H) for size in own or [])
    learner.note(f"task 9 with {'ReLU²' if 'activation' in learner.chosen else changes.NAMES[change]}")
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
