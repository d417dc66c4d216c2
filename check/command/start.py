"""A file to fill in: python -m check start task03

Writes my_task03.py into the current folder; it never replaces a file. The starter is the official task 2, in which the
place for task 3's idea is empty. With `--mine` it is your own task 2, and its top says what to add and to change.
For a piece it is always the official starter.
"""

import ast
import json
import secrets
from pathlib import Path

from check.command.check_file import text_of
from check.command.names import command, named, own_file, own_name, task_named
from check.command.state import State, before
from common.parser import Parser, path
from common.progress import hint
from common.run import UserError
from common.terminal import say
from exercises.build import ROOT, explanation, source, starter
from exercises.catalogue import EXERCISES

TRAINING = ROOT / "common" / "config.py"
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
    previous = before(task)
    if previous is None:
        raise UserError(f"{task}: there is no task before it; leave out --mine")
    mine = text_of(own_file(previous, folder))
    try:
        tree = ast.parse(mine)
    except SyntaxError as error:
        raise UserError(f"{own_file(previous, folder)}: line {error.lineno}: {error.msg}") from error
    new, changed = differences(source(previous), source(task))
    lines = mine.split("\n")
    if tree.body and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant):
        del lines[: tree.body[0].end_lineno]
    stubs = [stub for name in new if "." not in name for stub in _stub(name, starter(task))]
    at = next((i for i, line in enumerate(lines) if line.startswith("class GPT")), len(lines))
    lines[at:at] = stubs
    title = source(task).split("\n")[0].removeprefix('"""').removesuffix('"""').rstrip(".")
    todo = [f"New here: {', '.join(new)}."] if new else []
    todo += [f"To change, by the names of the official file: {', '.join(changed)}."]
    todo += [f"Config: {line}." for line in config_changes(source(previous), source(task))]
    head = [f'"""{title}: yours to write, from your {previous}.', "", *explanation(task), "", *todo, '"""']
    return "\n".join([*head, *lines])


def differences(old: str, new: str) -> tuple[list[str], list[str]]:
    """The definitions that an official file adds to the one before it, and those that it changes."""
    one, two = definitions(old), definitions(new)
    added = [name for name in two if name not in one]
    return added, [name for name in two if name in one and one[name] != two[name] and name != "main"]


def definitions(text: str) -> dict[str, str]:
    """Functions and methods (Class.method) → their code, without docstrings; Config is told apart."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = _code(node)
        elif isinstance(node, ast.ClassDef) and node.name != "Config":
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
            found |= {f"{node.name}.{method.name}": _code(method) for method in methods}
    whole = {name.partition(".")[0] for name in found}
    return {name: "" for name in whole if name not in found} | found


def _code(node: ast.FunctionDef) -> str:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return ast.unparse(node.args) + "\n".join(map(ast.unparse, body))


def _stub(name: str, text: str) -> list[str]:
    """The lines of a definition of a starter, as they are there."""
    node = next((node for node in ast.parse(text).body if getattr(node, "name", "") == name), None)
    if node is None:
        return []
    return [*text.split("\n")[node.lineno - 1 : node.end_lineno], "", ""]


def config_changes(old: str, new: str) -> list[str]:
    """The fields of Config that are new, gone or another."""
    one, two = (_fields(text) for text in (old, new))
    if "class Config(TrainingConfig)" in new:
        inherited = _fields(TRAINING.read_text(encoding="utf-8"), "TrainingConfig")
        two = {name: value for name, value in inherited.items() if name in one} | two
    said = [f"{name} = {value}" for name, value in two.items() if one.get(name) != value]
    gone = [name for name in one if name not in two]
    return [", ".join(said)] * bool(said) + [f"without {', '.join(gone)}"] * bool(gone)


def _fields(text: str, name: str = "Config") -> dict[str, str]:
    config = next(node for node in ast.parse(text).body if getattr(node, "name", "") == name)
    return {
        ast.unparse(node.target): ast.unparse(node.value)
        for node in getattr(config, "body", [])
        if isinstance(node, ast.AnnAssign) and node.value
    }
