"""An error of a learner's code, as the check shows it."""

import bdb
import linecache
import re
import traceback
from pathlib import Path

from check.isolated.loading import OURS, Trained, cells_of
from check.isolated.notebook import CELL

import torch

MOST_LOCALS = 12  # shapes shown of a failing line


def describe(error: BaseException, path: Path) -> dict:
    """An error as the check shows it."""
    kind, message = type(error).__name__, (str(error).strip().split("\n") or [""])[0]
    file, line, shapes = "", None, {}
    for frame, number in traceback.walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).is_relative_to(path.parent):
            file, line = frame.f_code.co_filename, number
            tensors = {name: value for name, value in frame.f_locals.items() if isinstance(value, torch.Tensor)}
            shapes = {name: list(value.shape) for name, value in tensors.items()}
    if isinstance(error, SyntaxError):
        file, line, message = error.filename or str(path), error.lineno, error.msg
    if isinstance(error, bdb.BdbQuit):
        message = "breakpoint() has no terminal inside the check; run your file itself to use it"
    return {
        "kind": kind,
        "message": message[:300],
        "where": _where(Path(file), line) if line else "",
        "source": linecache.getline(file, line).strip()[:200] if line else "",
        "shapes": dict(list(shapes.items())[:MOST_LOCALS]),
        "module": _missing(error),
        "not_started": isinstance(error, NotImplementedError),
        "trained": isinstance(error, Trained),
    }


def _missing(error: BaseException) -> str:
    """The module that is not there; "" where the error is another."""
    if isinstance(error, ModuleNotFoundError):
        name = error.name or ""
        return "" if name.split(".")[0] in OURS or re.match(r"task0\d", name) else name
    return "." if isinstance(error, ImportError) and "no known parent" in str(error) else ""


def _where(file: Path, line: int) -> str:
    """File and line; of a notebook, its cell and the line in it."""
    source = file.read_text(encoding="utf-8", errors="replace")
    if source.startswith(CELL):
        cell, start, _ = next(each for each in reversed(cells_of(source)) if each[1] <= line)
        return f"{file.name}, cell {cell}, line {line - start + 1}"
    return f"{file.name}, line {line}"
