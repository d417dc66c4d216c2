"""The stages of a task, in an order in which a failure has one suspect."""

from collections.abc import Callable

from check.reference import TASKS
from check.stages.behaviour import causality, position, shapes, steadiness
from check.stages.dropout import dropout
from check.stages.generation import generation
from check.stages.gradients import gradients
from check.stages.logits import logits, sizes
from check.stages.parameters import parameters
from check.stages.start import identity, interface
from check.stages.training import training
from check.subject import Subject

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


def stages(name: str) -> list[Callable[[Subject], str]]:
    """The stages of a task."""
    return [stage for stage in STAGES if TASKS[name].dropout or stage is not dropout]
