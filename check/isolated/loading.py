"""A learner's file or notebook as a module, the other files of theirs that it imports, and its errors."""

import ast
import asyncio
import bdb
import contextlib
import linecache
import os
import re
import sys
import tokenize
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from check.isolated.notebook import CELL, KEPT, source_of

import torch

OURS = frozenset(("torch", "common", "check", "exercises"))
ROOT = Path(__file__).resolve().parent.parent.parent
BASES = frozenset(("task07", "task09_rope", "variants"))  # from which a short file with a change of task 9 imports
MOST_FILES = 100
MOST_LOCALS = 12  # shapes shown of a failing line
MODULE = "learner"
READ = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
FUTURE = sum(flag for name, flag in vars(__import__("__future__")).items() if name.startswith("CO_"))


class Trained(Exception):
    """The file trains while it is imported."""


def imported_files(main: Path, within: Path | None = None) -> tuple[dict[Path, bytes], set[Path], bool]:
    """The .py files that a file imports, directly or through others, from its own folder and its package's root.

    Also the folders that belong on sys.path, and whether an import is relative. No file is outside `within`. Names of
    Python's own modules, of PyTorch and of `common` mean these, as in the check.
    """
    found: dict[Path, bytes] = {}
    todo, roots, relative = [main], {main.parent}, False
    while todo and len(found) < MOST_FILES:
        for level, root, file in _imports(todo.pop(), main):
            if (within is None or root == ROOT or file.is_relative_to(within)) and file.is_file():
                roots.add(root)
                relative = relative or level > 0
                if file not in found and file != main:
                    found[file] = file.read_bytes()
                    todo.append(file)
    return found, roots, relative


def _imports(path: Path, main: Path) -> Iterator[tuple[int, Path, Path]]:
    """Of each import of a file: its level, a root, and the files below it that could be the module or its packages."""
    for level, name in _imported_names(source_of(path)):
        parts = name.split(".")
        if level < len(path.parents):
            places = [(path.parents[level], path.parents[level - 1])] if level else _roots(main, parts[0])
            for root, folder in places:
                modules = [folder.joinpath(*parts[:n]) for n in range(1, len(parts) + 1)]
                yield from ((level, root, module / "__init__.py") for module in modules)
                yield from ((level, root, module.with_name(f"{module.name}.py")) for module in modules[-2:])


def _imported_names(source: bytes) -> Iterator[tuple[int, str]]:
    """Level and dotted name of all that could be a module in a file's imports; of `%run file.py`, the file's."""
    for node in _nodes(source):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = f"{node.module}." if node.module else ""
            yield from ((node.level, start + alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "run_line_magic":
            magic, line = (getattr(argument, "value", "") for argument in node.args[:2])
            if magic == "run" and line.split():
                yield 0, line.split()[0].removesuffix(".py").replace("/", ".")


def _nodes(source: bytes) -> Iterator[ast.AST]:
    text = source.decode("utf-8", "replace")
    for _, _, part in cells_of(text) if text.startswith(CELL) else [(1, 1, text)]:
        with contextlib.suppress(SyntaxError, ValueError):
            yield from ast.walk(compile(part.removeprefix("\ufeff"), "", "exec", READ, dont_inherit=True))


def _roots(main: Path, first: str) -> list[tuple[Path, Path]]:
    """The folders in which a name's first part is looked up: the file's own, and those that hold its package."""
    if first in OURS or first in sys.stdlib_module_names:
        return []
    above = [folder.parent for folder in main.parents[:-1] if first == folder.name or (folder / "__init__.py").exists()]
    return [(root, root) for root in (main.parent, *above, *([ROOT] if first in BASES else []))]


def copy_files(main: Path, folder: Path, within: Path | None = None) -> tuple[str, list[str]]:
    """Copy what a file imports into a folder; the name of the file's package, and the paths for sys.path."""
    main = main.resolve()
    files, roots, relative = imported_files(main, within and within.resolve())
    if not files:
        return "", []
    base = Path(os.path.commonpath([*roots, *(file.parent for file in files)]))
    for file, content in files.items():
        target = folder / file.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    package = ".".join(main.parent.relative_to(base).parts) if relative else ""
    order = sorted(roots, key=lambda root: (root != main.parent, len(root.parts)))
    return package, [str(folder / root.relative_to(base)) for root in order]


def quiet() -> None:
    """Nothing is compiled in this process, and nothing runs on a GPU."""
    torch.compile = lambda model=None, **_: (lambda function: function) if model is None else model  # type: ignore
    torch.nn.Module.compile = lambda self, *_, **__: None  # type: ignore[method-assign]
    torch.backends.mps.is_available = lambda: False  # type: ignore[assignment]


def load(path: Path, package: str = "", paths: tuple[str, ...] = ()) -> tuple[ModuleType, list[str]]:
    """The module of a file, and what of a notebook was left out. Raises Trained, and what the file raises.

    The module's name is neutral, so that a file random.py hides no other module. Settings of PyTorch that it changed
    are set back.
    """
    name = f"{package}.{MODULE}" if package else MODULE
    module = ModuleType(name)
    module.__file__, module.__package__ = str(path), package
    sys.modules[name] = sys.modules[MODULE] = module
    sys.path[:0] = paths
    with tokenize.open(path) as file:
        source = file.read()
    try:
        with patch.object(torch.autograd, "backward", _refuse_to_train), patch.object(sys, "argv", [path.name]):
            if source.startswith(CELL):
                return module, _run_cells(module, source, path)
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
            return module, []
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        torch.autograd.set_detect_anomaly(False)
        torch.set_num_threads(1)


def _refuse_to_train(*_: Any, **__: Any) -> None:
    raise Trained


def _run_cells(module: ModuleType, source: str, path: Path) -> list[str]:
    """Run a notebook statement by statement; what was left out, with its cell and the reason.

    A statement is left out that trains or wants what the check lacks (a package, data, the network), or a name that
    such a statement would have defined. A definition is never left out: the first of those reasons is raised instead.
    """
    names = vars(module)
    left_out: list[str] = []
    missing: set[str] = set()
    first: Exception | None = None
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    for number, start, text in cells_of(source):
        if text.startswith("# %%") and not text.split("\n", 1)[0].startswith(KEPT):
            left_out.append(f"cell {number} ({text[2:].split()[0]})")
        tree = ast.parse("\n" * (start - 1) + text, str(path))
        for statement in tree.body:
            code = compile(ast.Module([statement], []), str(path), "exec", flags, dont_inherit=True)
            flags |= code.co_flags & FUTURE
            try:
                if coroutine := eval(code, names):  # of an await outside functions
                    asyncio.run(coroutine)
            except Exception as error:
                reason = _reason(error, missing)
                if not reason:
                    raise
                first = first or error
                if isinstance(statement, ast.ClassDef | ast.FunctionDef) or ast.unparse(statement).endswith("import *"):
                    raise first from None
                missing |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - names.keys()
                missing |= {(alias.asname or alias.name).split(".")[0] for alias in getattr(statement, "names", [])}
                left_out.append(f"cell {number}, line {statement.lineno - start + 1} ({reason})")
    return left_out


def _reason(error: Exception, missing: set[str]) -> str:
    """Why a notebook's statement is left out; "" where its error is the learner's."""
    if isinstance(error, Trained):
        return "it trains"
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed here"
    if isinstance(error, NameError) and error.name in missing:
        return f"{error.name} was left out"
    return "no such file or network" if isinstance(error, OSError) else ""


def cells_of(source: str) -> list[tuple[int, int, str]]:
    """Number, first line and text of each cell of a notebook's code."""
    lines = source.split("\n")
    marks = [number for number, line in enumerate(lines, 1) if line.startswith(CELL)]
    ends = [*(mark - 1 for mark in marks[1:]), len(lines)]
    return [
        (int(lines[mark - 1].removeprefix(CELL)), mark + 1, "\n".join(lines[mark:end]))
        for mark, end in zip(marks, ends, strict=True)
    ]


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
