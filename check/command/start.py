"""A file to fill in: python -m check start task03

Writes my_task03.py into the current folder; it never replaces a file. The starter is the official task 2, in which the
place for task 3's idea is empty. With `--mine` it is your own task 2, and its top says what to add and to change.
For a piece it is always the official starter.
"""

import ast
import inspect
import json
import runpy
import secrets
from pathlib import Path

from check.command.check_file import text_of
from check.command.compare import without_docstrings
from check.command.names import command, named, own_file, own_name, task_named
from check.command.state import State
from common.parser import Parser, path
from common.progress import hint
from common.run import UserError
from common.terminal import say
from exercises.build import definitions, explanation, source, starter
from exercises.catalogue import EXERCISES, TASKS

IMPORTS = (ast.Import, ast.ImportFrom)


def main() -> None:
    parser = Parser(prog="python -m check start", description=__doc__)
    parser.add_argument("task", help="task03, 3, a piece …")
    parser.add_argument("--mine", action="store_true", help="begin with your own file of the task before")
    parser.add_argument("--to", type=path, metavar="FILE", help="write this file instead; with .ipynb, a notebook")
    options = parser.parse_args()
    write(task_named(options.task), State().folder, options.mine, options.to)


def write(task: str, folder: Path, mine: bool = False, to: Path | None = None) -> Path:
    """Write a starter, or a file from the learner's previous one; its path. Raises UserError if the file exists."""
    place = to or folder / own_name(task)
    text = from_mine(task, folder) if mine else starter(task)
    made = "" if place.parent.is_dir() else f" in a new folder, {place.parent}"
    try:
        if made:
            place.parent.mkdir()
        with open(place, "x", encoding="utf-8") as file:
            file.write(as_notebook(text) if place.suffix == ".ipynb" else text)
    except FileExistsError as error:
        raise UserError(f"{place}: exists already; check it, or write another with --to") from error
    except OSError as error:
        raise UserError(f"{place}: {error.strerror}") from error
    say(f"{place}: written{made}. Fill it in, then: {command(*named(task, place))}", hanging=2)
    if not mine:
        hint(f"To write: {', '.join(EXERCISES[task].write)}. Hints: {command(task, '--hint', 1)}")
    return place


def as_notebook(text: str) -> str:
    """A program as a notebook: its docstring as text, its imports as a cell, and a cell for each definition."""
    lines = text.split("\n")
    cells: list[dict] = []
    before = None
    for node in ast.parse(text).body:
        first = min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", []))])
        code = "\n".join(lines[first - 1 : node.end_lineno])
        if isinstance(node, ast.Expr) and not cells:
            cells.append(_cell("markdown", ast.literal_eval(node.value)))
        elif isinstance(node, IMPORTS) and isinstance(before, IMPORTS):
            cells[-1]["source"] += f"\n{code}"
        else:
            cells.append(_cell("code", code))
        before = node
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def _cell(kind: str, source: str) -> dict:
    cell = {"cell_type": kind, "id": secrets.token_hex(4), "metadata": {}, "source": source.strip("\n")}
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def from_mine(task: str, folder: Path) -> str:
    """A learner's file of the task before, with this task's explanation, and empty definitions of what is new."""
    if task not in TASKS[1:]:
        raise UserError(f"{task}: there is no task before it; leave out --mine")
    previous = TASKS[TASKS.index(task) - 1]
    mine = text_of(own_file(previous, folder))
    try:
        tree = ast.parse(mine)
    except SyntaxError as error:
        raise UserError(f"{own_file(previous, folder)}: line {error.lineno}: {error.msg}") from error
    new, changed = differences(source(previous), source(task))
    lines = mine.split("\n")
    if ast.get_docstring(tree) is not None:
        del lines[: tree.body[0].end_lineno]
    begun = starter(task).split("\n")
    nodes = [node for node in ast.parse(starter(task)).body if getattr(node, "name", "") in new]
    stubs = [line for node in nodes for line in [*begun[node.lineno - 1 : node.end_lineno], "", ""]]
    at = next((i for i, line in enumerate(lines) if line.startswith("class GPT")), len(lines))
    lines[at:at] = stubs
    title = source(task).split("\n")[0].removeprefix('"""').removesuffix('"""').rstrip(".")
    todo = [f"New here: {', '.join(new)}."] if new else []
    todo += [f"To change, by the names of the official file: {', '.join(changed)}."]
    todo += [f"Config: {line}." for line in config_changes(previous, task)]
    head = [f'"""{title}: yours to write, from your {previous}.', "", *explanation(task), "", *todo, '"""']
    return "\n".join([*head, *lines])


def differences(old: str, new: str) -> tuple[list[str], list[str]]:
    """The definitions that an official file adds to the one before it, and those that it changes."""
    one, two = codes(old), codes(new)
    added = [name for name in two if name not in one]
    return added, [name for name in two if name in one and one[name] != two[name] and name != "main"]


def codes(text: str) -> dict[str, str]:
    """Functions and methods (Class.method) → their code, without docstrings; Config is told apart."""
    found = definitions(without_docstrings(ast.parse(text)))
    own = {name: node for name, node in found.items() if name.partition(".")[0] != "Config"}
    return {name: "" if isinstance(node, ast.ClassDef) else ast.unparse(node) for name, node in own.items()}


def config_changes(old: str, new: str) -> list[str]:
    """The fields of a task's Config that are new, gone or another than in the task before."""
    one, two = (runpy.run_path(str(EXERCISES[task].official))["Config"] for task in (old, new))
    before, own = vars(one()), inspect.get_annotations(two)  # what the base of task 7's adds is not the learner's
    now = {name: value for name, value in vars(two()).items() if name in before or name in own}
    said = [f"{name} = {value!r}" for name, value in now.items() if before.get(name) != value]
    gone = [name for name in before if name not in now]
    return [", ".join(said)] * bool(said) + [f"without {', '.join(gone)}"] * bool(gone)
