"""Finds files that would pass without a solution, in the learner's process. A determined file gets around it."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
import torch._compile
from torch.nn import functional as F

OFFICIAL = re.compile(r"task0\d(_\w+)?|exercises")
NEEDED = (  # of PyTorch, by the check's questions
    (torch, ("manual_seed", "rand", "is_grad_enabled", "no_grad")),
    (torch.nn.Module, ("__call__", "parameters", "named_parameters", "modules", "train", "eval")),
    (torch.Tensor, ("backward", "copy_", "detach", "contiguous")),
    (F, ("cross_entropy",)),
)


def parts(*owners: Any) -> list[tuple[Any, str, Any, Any]]:
    """The functions and classes of modules and classes, and of PyTorch what the check needs, as they are now."""
    found = [(owner, name) for owner in owners for name, value in vars(owner).items() if callable(value)]
    found += [(owner, name) for owner, names in NEEDED for name in names]
    return [(owner, name, getattr(owner, name), _code(getattr(owner, name))) for owner, name in found]


def changed(before: list[tuple[Any, str, Any, Any]]) -> str:
    """The first of `parts` that has been replaced, or ""."""
    for owner, name, value, code in before:
        now = getattr(owner, name, None)
        if now is not value and _is_dynamo_s(now):  # an optimizer imports torch._dynamo, which wraps torch.manual_seed
            now = vars(now)["__wrapped__"]
        if now is not value or _code(now) is not code:
            return f"{owner.__name__}.{name}"
    return ""


def _is_dynamo_s(function: Any) -> bool:
    """Whether a function is PyTorch's own wrapper of another, made when torch._dynamo is imported."""
    made = getattr(_code(function), "co_filename", "") == torch._compile.__file__
    return made and "__wrapped__" in vars(function)


def _code(value: Any) -> Any:
    return value.__code__ if isinstance(value, FunctionType) else None


def note_run_text(file: Path) -> list[str]:
    """Where the learner's files run code that is not a line of theirs (exec, eval): "my_task01.py, line 3"."""
    found: list[str] = []

    def hook(event: str, _: tuple) -> None:
        if event == "exec" and len(found) < 3:
            caller = sys._getframe(1)
            name = Path(caller.f_code.co_filename)
            if name.is_relative_to(file.parent):
                found.append(f"{name.name}, line {caller.f_lineno}")

    sys.addaudithook(hook)
    return found


class Refusing:
    """On sys.meta_path: the repository's own tasks cannot be imported, only the learner's files of these names."""

    def __init__(self, paths: Sequence[str]):
        self.paths = paths

    def find_spec(self, name: str, *_: Any) -> None:
        own = any(os.path.exists(os.path.join(path, name + end)) for path in self.paths for end in (".py", ""))
        if OFFICIAL.fullmatch(name.split(".")[0]) and not own:
            raise ModuleNotFoundError(f"{name} is the repository's own; the check runs your files alone", name=name)
