"""The stages of a task, in an order in which a failure has one suspect."""

from collections.abc import Callable

from check.judge.learner_file import LearnerFile
from check.judge.reference import TASKS
from check.judge.stages.behaviour import causality, position, shapes, steadiness
from check.judge.stages.dropout import dropout
from check.judge.stages.generation import generation
from check.judge.stages.learning import gradients, training
from check.judge.stages.logits import logits, sizes
from check.judge.stages.parameters import parameters
from check.judge.stages.start import identity, interface

STAGES = [
    identity,
    interface,
    shapes,
    steadiness,
    causality,
    position,
    parameters,
    logits,
    sizes,
    dropout,
    generation,
    gradients,
    training,
]


def stages(name: str) -> list[Callable[[LearnerFile], str]]:
    """The stages of a task."""
    return [stage for stage in STAGES if TASKS[name].dropout or stage is not dropout]
