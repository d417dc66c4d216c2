"""One module for each suite: the tasks, and the pieces that courses ask for. Each has STAGES, in order, or stages()."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from common.run import UserError
from exercises.catalogue import EXERCISES, FILES


def stages_of(name: str) -> list[Callable]:
    """The stages of a task or piece, in an order in which a failure has one suspect."""
    suite = EXERCISES[name].suite
    if find_spec(f"{__name__}.{suite}") is None:
        raise UserError(f"{FILES[name]}: no suite is called {suite!r}: {Path(__file__).parent} has them")
    module = import_module(f"{__name__}.{suite}")
    return module.stages(name) if hasattr(module, "stages") else module.STAGES
