"""One file, checked once or at every save; and the table of all."""

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import check.__main__ as front
from check import compare, notebook
from check.names import PIECES, SUFFIXES, own_file, own_files, task_named, task_of
from check.result import Result
from check.run import CODES, verdict
from check.run import check as stages
from check.state import State, after, digest, following, rows
from check.zygote import Zygote
from common.parser import Parser, path, whole_number
from common.progress import hint
from common.run import UserError, is_terminal, progress
from exercises.briefs import BRIEFS
from exercises.build import expected
from exercises.hints import HINTS

from rich.console import Console
from rich.table import Table
from rich.text import Text

LARGEST = 2**20  # bytes of a file
POLL_SECONDS = 0.5  # notices of changes fail on network drives and in WSL
MARKS = {
    "pass": ("✓", "green"),
    "fail": ("✗", "red"),
    "not started": ("…", "yellow"),
    "undecided": ("?", "yellow"),
    "error": ("!", "red"),
}


def main() -> None:
    parser = Parser(prog="python -m check", description=front.__doc__)
    parser.add_argument("words", nargs="*", metavar="TASK FILE", help="a task or piece, a file, or both; or a folder")
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    parser.add_argument("--watch", action="store_true", help="check again at every save, until Ctrl-C")
    parser.add_argument("--compare", action="store_true", help="show the file beside the official one instead")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--hint", type=int, choices=(1, 2, 3), help="a hint for the task: a nudge, more, the formula")
    parser.add_argument("--seed", type=whole_number(0, 10**6), default=0, help="of all that the check draws")
    parser.add_argument("--official", action="store_true", help="accept the repository's own file, to try the check")
    options = parser.parse_intermixed_args()
    if options.hint:
        if not options.words:
            parser.error("--hint: for which task?")
        task = task_of(Path(options.words[0])) if len(options.words) == 1 else None
        print(HINTS[task or task_named(" ".join(options.words))][options.hint - 1])
        return
    if not options.words or (len(options.words) == 1 and Path(options.words[0]).is_dir()):
        if options.watch or options.compare or options.json:
            parser.error("expected a file, or its task")
        overview(options.words)
        return
    task, file = meant(options.words)
    readable(file)
    if options.compare:
        print(compare.beside(task, text_of(file)), end="")
    elif options.watch:
        watch(task, file, options)
    else:
        results = once(task, file, options)
        sys.exit(CODES[verdict(results)])


def meant(words: list[str]) -> tuple[str, Path]:
    """The task and the file that a command line names, in any order, or by one of both. Raises UserError."""
    if len(words) > 2:
        raise UserError(f"expected a task and a file, got {len(words)} words (see --help)")
    files = [word for word in words if Path(word).suffix in SUFFIXES or Path(word).exists()]
    if len(words) == 2:
        file = words[1] if words[1] in files or words[0] not in files else words[0]
        return task_named(words[1 - words.index(file)]), path(file)
    if not files and "/" not in words[0] and not Path(words[0]).suffix:
        task = task_named(words[0])
        return task, own_file(task, State().folder)
    file = words[0]
    if not Path(file).exists():
        raise UserError(f"{file}: no such file")
    task_or_none = task_of(Path(file))
    if task_or_none is None:
        raise UserError(f"{file}: its name holds no task or piece; say which: python -m check task03 {file}")
    return task_or_none, path(file)


def readable(file: Path) -> None:
    """Raise UserError for what cannot be checked."""
    if file.is_dir():
        raise UserError(f"{file}: a folder; expected a file of it")
    if not file.is_file():
        raise UserError(f"{file}: {'not a regular file' if file.exists() else 'no such file'}")
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file}: expected a .py file or a notebook")
    if file.stat().st_size <= LARGEST and not file.read_bytes().strip():
        raise UserError(
            f"{file}: the file is empty; python -m check start {task_of(file) or 'task01'} writes a starter"
        )
    if file.suffix == ".py" and file.stat().st_size > LARGEST:
        raise UserError(f"{file}: larger than {LARGEST // 2**20} MiB; expected the text of a program")
    if b"\0" in file.read_bytes():
        raise UserError(f"{file}: not a text; expected the text of a program")
    if file.suffix == ".ipynb":
        notebook.code_of(file)


def text_of(file: Path) -> str:
    """The Python in a file or notebook. Raises UserError where it is no UTF-8."""
    try:
        return notebook.code_of(file) if file.suffix == ".ipynb" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text") from error


@contextlib.contextmanager
def as_python(file: Path) -> Iterator[Path]:
    """The file; or, of a notebook, a file with its code."""
    if file.suffix == ".py":
        yield file
        return
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / f"{file.stem}.py"
        code.write_text(text_of(file), encoding="utf-8")
        yield code


def look(task: str, file: Path, options, zygote: Zygote | None = None) -> Iterator[Result]:
    """Each stage as it comes."""
    return stages(task, file, options.all, options.seed, options.official, zygote)


def once(task: str, file: Path, options) -> list[Result]:
    """Check a file, tell what is found, and remember it."""
    if options.json:
        results = list(look(task, file, options))
        found = [result.as_dict() for result in results]
        print(json.dumps({"task": task, "file": str(file), "status": verdict(results), "stages": found}))
    else:
        results = show(look(task, file, options))
        print(summary(task, results), flush=True)
        advise(task, file, verdict(results))
    State().note(task, file, results, verdict(results))
    return results


def watch(task: str, file: Path, options) -> None:
    """Check at every save, and show what changed since the check before; until Ctrl-C."""
    with Zygote() as zygote:
        _watch(task, file, options, zygote)


def _watch(task: str, file: Path, options, zygote: Zygote) -> None:
    before: list[Result] | None = None
    seen = ""
    while True:
        progress.where = f"while it watched {file}"
        now = digest(file)
        if now and now != seen:  # some editors take the file away for a moment
            seen = now
            if before is not None:
                print(f"\n{time.strftime('%H:%M:%S')} {file}, what changed:", flush=True)
            try:
                readable(file)
                results = show(look(task, file, options, zygote), before or [])
            except UserError as error:
                print(error, flush=True)
                continue
            print("Nothing changed." if results == before else summary(task, results), flush=True)
            if before is None or verdict(results) != verdict(before):
                advise(task, file, verdict(results))
            State().note(task, file, results, verdict(results))
            before = results
        time.sleep(POLL_SECONDS)


def show(coming: Iterator[Result], before: list[Result] | None = None) -> list[Result]:
    """Print each stage as it comes, unless it says what it said before; all stages.

    A stage is a row of a table on a terminal, else a line; a failure says all it knows.
    """
    console = Console() if is_terminal(sys.stdout) else None
    results = []
    for result in coming:
        results.append(result)
        if before and result in before:
            continue
        if console is None:
            print(f"{result.status:11} {result.stage:11} {told(result, 12 * ' ')}", flush=True)
            continue
        mark, colour = MARKS[result.status]
        console.print(Text.assemble((f"{mark} {result.stage:12}", colour), told(result, 14 * " ")), soft_wrap=True)
    return results


def told(result, indentation: str) -> str:
    """What a stage found, in words."""
    if result.status != "fail":
        return result.detail
    parts = [("expected", result.expected), ("got", result.got), ("sizes", result.sizes)]
    if result.shapes:
        parts.append(("shapes", ", ".join(f"{name} {tuple(shape)}" for name, shape in result.shapes.items())))
    example = result.example.replace("\n", f"\n{indentation}{10 * ' '}")
    parts += [("example", example), ("line", result.source), ("hint", result.hint)]
    if result.output:
        parts.append(("printed", result.output.replace("\n", f"\n{indentation}{10 * ' '}")))
    return "\n".join([result.what] + [f"{indentation}{label + ':':9} {text}" for label, text in parts if text])


def summary(task: str, results: list) -> str:
    """The last line."""
    status = verdict(results)
    if status == "pass":
        notes = [note for result in results for note in result.notes]
        return f"{task}: all properties hold." + f" Next to the lesson: {'; '.join(notes)}." * bool(notes)
    if status == "not started":
        return f"{task}: not started. python -m check {task} --hint 1 gives a nudge."
    names = ", ".join(result.stage for result in results if result.status == status)
    if status == "fail":
        return f"{task}: fails at {names}."
    if status == "undecided":
        return f"{task}: not decided at {names}."
    return f"{task}: the check could not go on at {names or 'the start'}; that says nothing about your code."


def advise(task: str, file: Path, status: str) -> None:
    """Tell a person at a terminal what to do next."""
    if status != "pass":
        return
    if task in BRIEFS:
        hint(f"Why the official file does it as it does: {BRIEFS[task].why}")
        hint(f"Your file beside it: python -m check {file} --compare")
        hint(f"Run yours: python -m check run {file}")
        hint(f"Expect {expected(task)}.")
    following_task = after(task)
    if following_task:
        hint(f"Next: python -m check start {following_task}")


def overview(words: list[str]) -> None:
    """The table of all tasks, and the command to give next."""
    state = State()
    if words:
        state.folder = Path(words[0])
        if own_files(state.folder) or state.folder == Path():
            state.save()
    head = ("task", "file", "state", "checked")
    lines = rows(state)
    if is_terminal(sys.stdout):
        table = Table(*head, box=None, header_style="bold")
        for task, file, said, when in lines:
            colour = {"passed": "green", "not started": "dim"}.get(
                said, "red" if said.startswith("fails") else "yellow"
            )
            table.add_row(task, file, Text(said, colour), when)
        Console().print(table)
    else:
        widths = [max(len(line[i]) for line in [head, *lines]) for i in range(4)]
        for line in [head, *lines]:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if state.folder != Path():
        print(f"The files of {state.folder}; python -m check . goes back to this folder.")
    print(f"Next: {following(state)}")
    hint(f"Pieces for other courses: {', '.join(PIECES)}.")
