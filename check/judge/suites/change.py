"""A change of task 9, whole or as short as in variants/: the stages of task 9, with the change in the reference."""

import contextlib

from check.judge import changes
from check.judge.learner_file import LearnerFile
from check.judge.matching import Unreadable
from check.judge.stages.start import interface
from check.judge.suites import task


def interface_of_change(learner: LearnerFile) -> str:
    """As in task 9, with the size that the change adds."""
    said = interface(learner)
    model = learner.small_model()
    if learner.task.change == "swiglu":
        wide = sum(value.numel() == 4 * model.sizes.C**2 for value in model.first_values)
        learner.squares = wide == 2 * model.sizes.L
    learner.numbers = _numbers(learner)
    learner.note(f"task 9 with {'ReLU²' if learner.squares else changes.NAMES[learner.task.change]}")
    return said


def _numbers(learner: LearnerFile) -> int:
    """How many numbers each block mixes values with, or multiplies scores by."""
    model = learner.small_model()
    with contextlib.suppress(Unreadable):
        structure = learner.structure(model)
        own = [i for part in [*structure.outer, *(part for block in structure.extras for part in block)] for i in part]
        sizes = [model.first_values[i].numel() for i in own]
        if learner.task.change == "value_residual":
            total = sum(sizes)
            return total // (model.sizes.L if total % model.sizes.L == 0 else model.sizes.L - 1)
        if learner.task.change == "qk_norm":
            return sum(size in (1, model.sizes.H) for size in sizes)
    return 0


interface_of_change.__name__ = "interface"
STAGES = [interface_of_change if stage is interface else stage for stage in task.STAGES if stage.__name__ != "training"]
