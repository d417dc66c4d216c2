"""A folder of submissions, marked: python -m check grade DIR

Reads files, notebooks and zips, in a folder for each student or named as Moodle and Canvas name them, several tasks a
student. Prints a table, and below it all that was not graded, with the reason. Every stage is looked at; a mark is the
points of the stages that hold.

With `--json FILE` a stopped run goes on where it stopped, and a later one checks only what is new. Exit code 0: all was
graded; 1: something was not, or could not be checked. How to set up a course: docs/teaching.md.
"""

import hashlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path

import common  # noqa: F401  (before PyTorch, also in the processes of --jobs: see common/__init__.py)
from check import marks, sandbox
from check.likeness import alike
from check.marks import Mark, Points, names_of
from check.run import check, verdict
from check.session import harmless
from check.submissions import Submission, collect
from check.zygote import Zygote
from common.parser import Parser, path, whole_number
from common.progress import duration
from common.run import UserError, progress
from common.terminal import is_terminal, status
from exercises.build import ROOT

from rich.console import Console
from rich.table import Table
from rich.text import Text

own_zygote: Zygote | None = None  # of a process of --jobs


def main() -> None:
    parser = Parser(prog="python -m check grade", description=__doc__)
    parser.add_argument("folder", type=path, metavar="DIR", help="of submissions")
    parser.add_argument("--jobs", type=whole_number(1, 256), default=1, metavar="N", help="at a time (default: 1)")
    parser.add_argument("--points", type=path, metavar="FILE", help="TOML: what each stage is worth (default: 1)")
    parser.add_argument("--csv", type=path, metavar="FILE", help="write a table for a spreadsheet")
    parser.add_argument("--json", type=path, metavar="FILE", help="write all that was found, and go on from it")
    parser.add_argument("--feedback", type=path, metavar="DIR", help="write a page for each student")
    parser.add_argument("--gradescope", type=path, metavar="FILE", help="write results.json, for one student's folder")
    parser.add_argument(
        "--seed", type=whole_number(0, 10**6), default=0, metavar="N", help="of all that the check draws"
    )
    options = parser.parse_args()
    if not options.folder.is_dir():
        raise UserError(f"{options.folder}: {'not a folder' if options.folder.exists() else 'no such folder'}")
    forms = [form for form in (options.csv, options.json, options.gradescope, options.feedback) if form]
    if len(set(forms)) < len(forms):
        raise UserError("two forms cannot be written to one file")
    points = Points(options.points)
    if not sandbox.available():
        print("This system does not confine the files that are checked; see docs/teaching.md.", file=sys.stderr)
    submissions, left = collect(options.folder)
    if not submissions and not options.gradescope:
        raise UserError(f"{options.folder}: no file there has a task's or piece's name, as my_task03.py")
    settings = {"folder": str(options.folder.resolve()), "seed": options.seed, "check": _version()}
    known = _known(options.json, settings)
    found: list[Mark] = []
    for mark in _all(submissions, known, options):
        found.append(mark)
        if options.json:
            marks.write(options.json, marks.as_json(found, left, settings))
    order = [(each.student, each.task) for each in submissions]
    found.sort(key=lambda mark: order.index((mark.student, mark.task)))
    like = alike({each.name: (each.task, each.code) for each in submissions})
    for mark in found:
        points.give(mark)
        mark.like = like[mark.file]
    _write(found, left, settings, options)
    _show(found, left)
    sys.exit(1 if left or any(mark.status == "error" for mark in found) else 0)


def _version() -> str:
    """A digest of all that a verdict depends on: the check, the lessons, what they share."""
    parts = [ROOT / part for part in ("check", "common", "exercises")]
    files = [*ROOT.glob("task0*.py"), *(file for part in parts for file in part.rglob("*.py"))]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _known(file: Path | None, settings: dict) -> dict[tuple, Mark]:
    """Marks of an earlier run with the same check and seed, by task and code."""
    if file is None or not file.exists():
        return {}
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        names = {each.name for each in fields(Mark)}
        old = [Mark(**{key: value for key, value in mark.items() if key in names}) for mark in kept["marks"]]
        same = kept["settings"] == settings
        other = kept["settings"]["folder"] if kept["settings"]["folder"] != settings["folder"] else ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: is there, but no result of an earlier run; remove it or write elsewhere") from error
    if other:
        raise UserError(f"{file}: holds the marks of {other}; write those of another folder elsewhere")
    return {(mark.task, mark.sha256): mark for mark in old if same and mark.status != "error"}


def _all(submissions: list[Submission], known: dict[tuple, Mark], options) -> Iterator[Mark]:
    """A mark for each submission as it comes, with a bar and the time left on a terminal's stderr."""
    todo = []
    for each in submissions:
        old = known.get((each.task, each.sha256))
        if old is None:
            todo.append(each)
            continue
        yield _mark(each, old.status, old.stages, old.seconds)
    start = time.monotonic()
    try:
        for done, mark in enumerate(_checked(todo, options.jobs, options.seed), 1):
            kept = f", kept in {options.json}: the same command goes on" if options.json else ""
            progress.where = f"after {done} of {len(todo)} files{kept}"
            left = duration((time.monotonic() - start) / done * (len(todo) - done))
            status.show(f"{done}/{len(todo)}, {left} left  {harmless(mark.file)}")
            yield mark
    finally:
        status.clear()


def _checked(todo: list[Submission], jobs: int, seed: int) -> Iterator[Mark]:
    progress.where = f"before the first of {len(todo)} files"
    if not todo:
        return
    if jobs == 1:
        with Zygote() as zygote:
            for each in todo:
                yield look(each, seed, zygote)
        return
    with ProcessPoolExecutor(min(jobs, len(todo)), get_context("spawn"), initializer=_worker) as pool:
        coming = {pool.submit(look, each, seed): each for each in todo}
        try:
            while coming:
                done, _ = wait(coming, return_when=FIRST_COMPLETED)
                for future in done:
                    each = coming.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        yield _broken(each, "the process that checked it was killed")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _worker() -> None:
    """A process of --jobs has a zygote of its own; at Ctrl-C it cleans up, and the first process says so."""
    global own_zygote
    own_zygote = Zygote()
    Finalize(None, own_zygote.__exit__, exitpriority=10)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))


def look(each: Submission, seed: int, zygote: Zygote | None = None) -> Mark:
    """Check a submission, every stage."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / each.file
        for name, content in [*each.others, (each.file, each.code.encode())]:
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        found = check(each.task, file, everything=True, seed=seed, zygote=zygote or own_zygote, within=Path(folder))
        results = list(found)
    stages = [result.as_dict() for result in results]
    return _mark(each, verdict(results), stages, round(time.perf_counter() - start, 1))


def _mark(each: Submission, status: str, stages: list[dict], seconds: float) -> Mark:
    return Mark(each.student, each.task, each.name, status, stages, seconds, each.sha256, each.late)


def _broken(each: Submission, why: str) -> Mark:
    return _mark(each, "error", [{"stage": names_of(each.task)[0], "status": "error", "detail": why}], 0.0)


def _write(found: list[Mark], left: dict[str, str], settings: dict, options) -> None:
    """All forms that were asked for."""
    if options.json:
        marks.write(options.json, marks.as_json(found, left, settings))
    if options.csv:
        marks.write(options.csv, marks.as_csv(found, left))
    if options.gradescope:
        marks.write(options.gradescope, marks.gradescope(found, left))
    if options.feedback:
        try:
            options.feedback.mkdir(exist_ok=True)
        except OSError as error:
            there = options.feedback.exists()
            raise UserError(f"{options.feedback}: {'not a folder' if there else error.strerror}") from error
        for student in dict.fromkeys(mark.student for mark in found):
            own = [mark for mark in found if mark.student == student]
            others = {name: reason for name, reason in left.items() if name.split("/")[0] == student}
            name = "".join(c if c.isalnum() or c in " -_." else "_" for c in student).lstrip(".") or "_"
            marks.write(options.feedback / f"{name}.md", marks.feedback(student, own, others))


def _show(found: list[Mark], left: dict[str, str]) -> None:
    """The table, and what is not in it."""
    head = ["student", "task", "mark", "points", "stage reached", ""]
    rows = []
    for mark in found:
        notes = ["late"] * mark.late + mark.like
        cells = [
            mark.student,
            mark.task,
            mark.status,
            f"{mark.points:g} of {mark.most:g}",
            mark.reached,
            "; ".join(notes),
        ]
        rows.append([harmless(cell) for cell in cells])
    if is_terminal(sys.stdout):
        table = Table(*head, box=None, header_style="bold")
        for row in rows:
            table.add_row(*map(Text, row))
        Console(highlight=False).print(table)
    else:
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head) - 1)]
        for row in [head, *rows]:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            print("  ".join([*cells, row[-1]]).rstrip())
    if left:
        print("\nNot graded:")
        for name, reason in left.items():
            print(f"  {harmless(name)}: {harmless(reason)}")
