"""Which task or piece is meant: by the words of a command line, or by the name of a file."""

import difflib
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from check import COMMANDS
from common.exercises import BY_CLASS, CLASSES
from common.run import UserError
from exercises.catalogue import CHANGES, EXERCISES, PIECES, TASKS

SUFFIXES = (".py", ".ipynb")
NUMBER = re.compile(r"task[ _-]?0*(\d{1,2})(?!\d)")


def command(*words: object) -> str:
    """A command of this package, as a shell reads it."""
    return shlex.join(["python", "-m", "check", *map(str, words)])


def named(task: str, file: Path) -> list[object]:
    """The words with which a command names a file; with its task, if the file's name does not contain it."""
    return [file] if task_of(file) == task else [task, file]


def task_named(word: str) -> str:
    """A task or piece by what people call it: task03, task3, 3, task9, block. Raises UserError for anything else."""
    name = word.lower().removesuffix(".py").replace("-", "_")
    if name.isascii() and name.isdigit():
        name = f"task{name}"
    if name in [*PIECES, *CHANGES]:
        return name
    number = NUMBER.match(name)
    if number:
        if int(number[1]) == 8:
            raise UserError("task 8 has no check: it adds a cache to task 7's model; read task08_infinite.py")
        found = _numbered(int(number[1]))
        if found:
            return found
    close = "" if number else suggestion(name, [*EXERCISES, *COMMANDS])
    raise UserError(f"{word[:40]!r} is not a task or piece{close}; expected one of {', '.join(EXERCISES)}")


def suggestion(word: str, known: Iterable[str]) -> str:
    """A question that names the closest of the known words; empty where none is close."""
    return "".join(f"; did you mean {close}?" for close in difflib.get_close_matches(word, list(known), n=1))


def _numbered(number: int) -> str | None:
    return next((task for task in TASKS if task.startswith(f"task{number:02}")), None)


def task_of(path: Path) -> str | None:
    """The task or piece in a file's name: my_task03.py, task3-anna.py, block_mine.ipynb."""
    stem = path.stem.lower()
    number = NUMBER.search(stem)
    if number:
        return _numbered(int(number[1]))
    words = re.sub(r"[ -]", "_", stem)
    changes = [change for change in CHANGES if re.search(rf"(^|_){change}(_|$)", words)]
    return max([piece for piece in PIECES if piece in words] + changes, key=len, default=None)


def told_by(path: Path) -> str | None:
    """As `task_of`; or the piece that a file's folder or classes tell: src/model/attention/impl.py, a class GPT."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    defined = re.findall(r"^\W*(?:class|def) (\w+)", text, re.MULTILINE)
    named = task_of(path) or (task_of(path.parent) if path.parent.name else None)
    if named == "attention" and any(name[0].isupper() and "Attention" in name for name in defined):
        return "multi_head_attention"
    if named == "transformer" and any(name in CLASSES["encoder"][0] for name in defined):
        return "encoder"
    known = (piece for piece in BY_CLASS if any(name in CLASSES[piece][0] for name in defined))
    return named or next(known, None)


def own_name(task: str) -> str:
    """What a learner's file is called unless they call it something else."""
    return f"my_{task.removesuffix('_rope')}.py"


def own_files(folder: Path) -> dict[str, Path]:
    """Task or piece → the file in a folder whose name holds it, the newest of several; official files are not seen."""
    official = {each.official for each in EXERCISES.values()} | {folder.resolve() / "task08_infinite.py"}
    found: dict[str, Path] = {}
    files = [path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file()] if folder.is_dir() else []
    for path in sorted(files, key=lambda path: (path.stat().st_mtime, path.name)):
        task = task_of(path)
        if task and path.resolve() not in official:
            found[task] = path
    return found


def own_file(task: str, folder: Path) -> Path:
    """The learner's file for a task. Raises UserError if there is none."""
    path = own_files(folder).get(task)
    if path is None:
        where = "this folder" if folder == Path() else f"{folder} (python -m check . goes back to this folder)"
        raise UserError(f"no file for {task} in {where}: {command('start', task)} writes {own_name(task)}")
    return path
