"""Which property does my code violate? python -m check task03 my_task03.py

Looks at one property after the other, in an order in which a failure has one suspect, and stops at the first that does
not hold (`--all` goes on). Exit code 0: all hold; 1: one does not; 2: not started, or bad input; 3: one could not be
decided; 4: the check itself could not run; 130: interrupted. `--hint 1`, 2 and 3 say more and more about the task. For
teachers: `--json`, and `--all-tasks DIR`, which checks each file of a folder whose name holds a task's or piece's.
What each stage looks at: docs/check.md.
"""

import json
import signal
import sys
from pathlib import Path

from common.parser import Parser, whole_number
from common.run import UserError, is_terminal, progress, run
from exercises.hints import HINTS

MARKS = {
    "pass": ("✓", "green"),
    "fail": ("✗", "red"),
    "not started": ("…", "yellow"),
    "undecided": ("?", "yellow"),
    "error": ("!", "red"),
}


def main() -> None:
    parser = Parser(prog="python -m check", description=__doc__)
    parser.add_argument("task", nargs="?", help=", ".join(HINTS))
    parser.add_argument("file", nargs="?", type=Path, help="your file")
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--hint", type=int, choices=(1, 2, 3), help="a hint for the task: a nudge, more, the formula")
    parser.add_argument("--seed", type=whole_number(0, 10**6), default=0, help="of all that the check draws")
    parser.add_argument("--all-tasks", type=Path, metavar="DIR", help="check a folder of files, a line each")
    parser.add_argument("--official", action="store_true", help="accept the repository's own file, to try the check")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    progress.where = "before the verdict"
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        print("The check could not run: PyTorch is not installed: pip install -r requirements.txt", file=sys.stderr)
        sys.exit(4)
    if options.all_tasks:
        from check.grade import grade

        sys.exit(grade(options))
    task = "task09_rope" if options.task == "task09" else options.task
    if task not in HINTS:
        raise UserError(f"expected a task or piece, {', '.join(HINTS)}, got {options.task!r}")
    if options.hint:
        print(HINTS[task][options.hint - 1])
        return
    if options.file is None:
        raise UserError("expected your file after the task (see --help)")
    if not options.file.is_file():
        found = "not a file" if options.file.exists() else "no such file"
        raise UserError(f"{options.file}: {found}")
    if options.file.suffix == ".ipynb":
        raise UserError(f"{options.file}: a notebook; jupyter nbconvert --to script {options.file} makes a .py file")
    if options.file.suffix != ".py":
        raise UserError(f"{options.file}: expected a .py file")
    _check(task, options)


def _terminated(*_: object) -> None:
    sys.exit(143)


def _check(task: str, options) -> None:
    from check.run import CODES, check, verdict

    results = []
    coming = check(task, options.file, options.all, options.seed, options.official)
    if options.json:
        results = list(coming)
        stages = [result.as_dict() for result in results]
        print(json.dumps({"task": task, "file": str(options.file), "status": verdict(results), "stages": stages}))
    else:
        _show(coming, results)
        print(_summary(task, results))
    sys.exit(CODES[verdict(results)])


def _show(coming, results: list) -> None:
    """Each stage as it comes: a row of a table on a terminal, else a line; a failure with all it says."""
    if not is_terminal(sys.stdout):
        for result in coming:
            results.append(result)
            print(f"{result.status:11} {result.stage:11} {_told(result, 12 * ' ')}", flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for result in coming:
        results.append(result)
        mark, colour = MARKS[result.status]
        line = Text.assemble((f"{mark} {result.stage:12}", colour), _told(result, 14 * " "))
        console.print(line, soft_wrap=True)


def _told(result, indentation: str) -> str:
    """What a stage found, in words."""
    if result.status != "fail":
        return result.detail
    parts = [("expected", result.expected), ("got", result.got), ("sizes", result.sizes)]
    if result.shapes:
        parts.append(("shapes", ", ".join(f"{name} {tuple(shape)}" for name, shape in result.shapes.items())))
    parts.append(("hint", result.hint))
    if result.output:
        parts.append(("printed", result.output.replace("\n", f"\n{indentation}{10 * ' '}")))
    return "\n".join([result.what] + [f"{indentation}{label + ':':9} {text}" for label, text in parts if text])


def _summary(task: str, results: list) -> str:
    """The last line."""
    from check.run import verdict

    status = verdict(results)
    if status == "pass":
        return f"{task}: all properties hold."
    if status == "not started":
        return f"{task}: not started. python -m check {task} --hint 1 gives a nudge."
    names = ", ".join(result.stage for result in results if result.status == status)
    if status == "fail":
        return f"{task}: fails at {names}."
    if status == "undecided":
        return f"{task}: not decided at {names}."
    return f"{task}: the check could not go on at {names or 'the start'}; that says nothing about your code."


if __name__ == "__main__":
    run(main)
