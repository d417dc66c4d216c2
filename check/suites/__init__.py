"""One module for each suite: the tasks, and the pieces that courses ask for. Each has STAGES, in order, or stages()."""

from collections.abc import Callable
from importlib import import_module

from exercises.catalogue import EXERCISES


def stages_of(name: str) -> list[Callable]:
    """The stages of a task or piece, in an order in which a failure has one suspect."""
    suite = import_module(f"check.suites.{EXERCISES[name].suite}")
    return suite.stages(name) if hasattr(suite, "stages") else suite.STAGES
