"""One module for each suite: the tasks, and the pieces that courses ask for. Each has STAGES, in order."""

from collections.abc import Callable
from importlib import import_module

from check.suites import modules

PIECES = (
    "attention",
    "positions",
    "self_attention",
    "multi_head_attention",
    "mlp",
    "block",
    "gpt",
    "transformer",
    "encoder",
    "optimizers",
    "schedule",
    "training",
    "generate",
)


def stages_of(name: str) -> list[Callable]:
    """The stages of a task or piece, in an order in which a failure has one suspect."""
    if name in modules.OF_THE_TASKS:
        return modules.stages(name)
    if name in PIECES:
        return import_module(f"check.suites.{name}").STAGES
    return import_module("check.suites.task").stages(name)
