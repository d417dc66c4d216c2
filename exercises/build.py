"""Write all starter files: python -m exercises.build --into DIR

A starter is its official file without the bodies that the learner writes, so the two always agree. To write only one
starter, use `python -m check start NAME`.
"""

import ast
import inspect
import json
import re
import runpy
import statistics
import textwrap
from pathlib import Path

from common.parser import Parser, path
from common.run import run
from exercises.catalogue import EXERCISES, Exercise

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "logs"
WIDTH = 100
TOOK = r"^# (\d+) s from"  # seconds, in a log


def official_signature(task: str, name: str) -> inspect.Signature:
    """How the official function or class is called."""
    return inspect.signature(runpy.run_path(str(EXERCISES[task].official))[name])


def source(task: str) -> str:
    """The official code; of a file that several exercises share, what this one writes and needs."""
    text = EXERCISES[task].official.read_text(encoding="utf-8")
    return _part(text, EXERCISES[task]) if EXERCISES[task].title else text


def _part(text: str, exercise: Exercise) -> str:
    tree, lines = ast.parse(text), text.split("\n")
    holders = {name: node for node in tree.body[1:] for name in _defined(node)}
    needed, todo = set(), [name.partition(".")[0] for name in exercise.write]
    for name in todo:
        if name in holders and name not in needed:
            needed.add(name)
            todo += [node.id for node in ast.walk(holders[name]) if isinstance(node, ast.Name)]
    starts = [min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) for node in tree.body]
    for node, start, end in reversed([*zip(tree.body, starts, [*starts[1:], len(lines) + 1], strict=True)][1:]):
        if not needed & _defined(node):
            del lines[start - 1 : end - 1]
    head = [f'"""{exercise.title}.', "", *textwrap.wrap(exercise.paper, 120, break_on_hyphens=False), '"""']
    return "\n".join([*head, *lines[tree.body[0].end_lineno :]]).rstrip("\n") + "\n"


def _defined(node: ast.stmt) -> set[str]:
    """The names that an import or a definition at the top of a file defines."""
    names = [(alias.asname or alias.name).partition(".")[0] for alias in getattr(node, "names", [])]
    return {*names, getattr(node, "name", "")} - {""}


def starter(task: str) -> str:
    """The text of a task's or piece's starter file; of a piece's bodies, the comment lines stay: its steps."""
    text = source(task)
    lines = text.split("\n")
    for first, last, indent, name in sorted(_bodies(ast.parse(text), EXERCISES[task].write), reverse=True):
        inside = [line.strip() for line in lines[first - 1 : last] if not task.startswith("task")]
        steps = [" " * indent + line for line in inside if line.startswith("#")]
        lines[first - 1 : last] = [*steps, f'{" " * indent}raise NotImplementedError("write {name}")']
    doc = ast.parse(text).body[0]
    title = lines[0].removeprefix('"""').rstrip(".")
    lines[: doc.end_lineno] = [f'"""{title}: yours to write.', "", *explanation(task), '"""']
    return "\n".join(lines)


def explanation(task: str) -> list[str]:
    """The lines of a starter's docstring after its title."""
    check = f"Check it: python -m check {task} FILE; hints: python -m check {task} --hint "
    each = EXERCISES[task]
    if not each.idea:
        first = each.hints[0]
        if any(line.strip().startswith("# ") for line in source(task).split('"""', 2)[2].splitlines()):
            first = "The comments are the steps. B batch (in some courses N), T time, C width, H heads of size D."
        return [*textwrap.wrap(first, WIDTH), "", f"{check}2"]
    return [
        *textwrap.wrap(each.idea, WIDTH),
        "",
        *(f"    {line}" for line in each.shapes.split("\n")),
        "",
        f"    {each.formula}",
        "",
        *textwrap.wrap(f"What you cannot guess: {each.given}", WIDTH),
        "",
        *textwrap.wrap(f"Paper: {each.paper}", WIDTH, break_on_hyphens=False),
        *textwrap.wrap(f"Expect: {expected(task)}", WIDTH, break_on_hyphens=False),
        f"{check}1",
    ]


def expected(task: str) -> str:
    """The loss and the time of the documented run, from the logs."""
    if EXERCISES[task].suite == "change":
        return "a loss next to task 9's as in docs/variants.md"

    def logs(names: str) -> list[str]:
        return [place.read_text(encoding="utf-8") for place in LOGS.glob(names)]

    def mean(pattern: str, found: list[str]) -> float:
        return statistics.mean(map(float, re.findall(pattern, "\n".join(found), re.MULTILINE)))

    if task in ("task07", "task09_rope"):
        found, times = logs(f"{task}_seed*.txt") + logs(f"{task}_avx2_seed*.txt"), []
        for kind, fast in (("with", True), ("without", False)):
            some = [log for log in found if ("bfloat16" in log) == fast]
            times += [f"{mean(TOOK, some) / 60:.0f} minutes {kind} bfloat16"] if some else []
        loss = mean(r"^Final val loss: ([\d.]+)", found)
        return f"a validation loss near {loss:.2f} with the preset laptop, on two cores in {', in '.join(times)}"
    documented = json.loads((LOGS / "documented.json").read_text())[task][-1][-1]
    seconds = mean(TOOK, logs(f"{task}.txt"))
    return f"a validation loss of {documented:.4f} at the end, after {seconds:.0f} seconds on one core"


def _bodies(tree, names):
    """(first line, last line, indentation, name) of the bodies to leave out; docstrings and super().__init__() stay."""
    for name, node in definitions(tree).items():
        if name in names and isinstance(node, ast.FunctionDef):
            body = node.body
            if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                body = body[1:]
            if name.endswith("__init__"):
                body = body[1:]
            yield body[0].lineno, body[-1].end_lineno, body[0].col_offset, name


def definitions(tree: ast.Module) -> dict[str, ast.ClassDef | ast.FunctionDef]:
    """The classes and functions of a program, and its methods as Class.method, in order."""
    found: dict[str, ast.ClassDef | ast.FunctionDef] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = node
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{part.name}": part for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def main() -> None:
    parser = Parser(prog="python -m exercises.build", description=__doc__)
    parser.add_argument("--into", type=path, required=True, metavar="DIR", help="the folder for the files")
    folder = parser.parse_args().into
    folder.mkdir(parents=True, exist_ok=True)
    for task in EXERCISES:
        (folder / f"{task}.py").write_text(starter(task), encoding="utf-8")
    print(f"{folder}: {len(EXERCISES)} files")


if __name__ == "__main__":
    run(main)
