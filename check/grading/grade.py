"""Mark a folder of submissions: python -m check grade DIR

Reads files, notebooks and zip files, with several tasks for each student. Each student has a folder or a zip file, or
files are named as Moodle, Canvas and Blackboard name them. Prints a table, a summary, and all files that were not
graded, with the reason. A mark is the points of the stages that pass. A stage is skipped if it needs one that failed.

With `--json FILE` a stopped run continues where it stopped, and a later run checks only new files. Exit code 0: all
files were graded; 1: some were not, or could not be checked. How to set up a course: docs/teaching.md.
"""

import hashlib
import json
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields
from itertools import product
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from string import ascii_uppercase

import common  # noqa: F401  (before PyTorch, also in the processes of --jobs: see common/__init__.py)
from check.command.names import task_named
from check.grading import forms
from check.grading.copies import groups
from check.grading.marks import Mark, Points, names_of
from check.grading.submissions import HandedIn, Submission, collect, printable
from check.isolated import sandbox
from check.judge.checking import check, verdict
from check.judge.zygote import Zygote
from common.parser import Parser, path, whole_number
from common.progress import duration
from common.run import UserError, progress
from common.terminal import is_terminal, status
from exercises.build import ROOT
from exercises.catalogue import EXERCISES, FILES

from rich.console import Console
from rich.table import Table
from rich.text import Text

MOST_SEED = 10**6
own_zygote: Zygote | None = None  # of a process of --jobs
GROUPS = ["".join(letters) for count in (1, 2) for letters in product(ascii_uppercase, repeat=count)]  # A, …, AA, …
HEAD = ["student", "task", "mark", "points", "stage", "notes"]


def main() -> None:
    parser = Parser(prog="python -m check grade", description=__doc__)
    add = parser.add_argument
    add("folder", type=path, metavar="DIR", help="of submissions")
    add("--task", type=task_named, metavar="TASK", help="of files whose names do not say it (hw3.py)")
    add("--jobs", type=whole_number(1, 256), default=1, metavar="N", help="files at a time (default: 1)")
    add("--points", type=path, metavar="FILE", help="TOML: the points of each stage (default: 1)")
    add("--csv", type=path, metavar="FILE", help="write a table for a spreadsheet")
    add("--moodle", type=path, metavar="FILE", help="fill a copy of Moodle's grading worksheet")
    add("--canvas", type=path, metavar="FILE", help="fill a copy of Canvas's exported gradebook")
    add("--json", type=path, metavar="FILE", help="write all results, and continue from them")
    add("--feedback", type=path, metavar="DIR", help="write a page for each student")
    add("--gradescope", type=path, metavar="FILE", help="write results.json, for one student's folder")
    add("--unconfined", action="store_true", help="run the files even without a sandbox")
    add("--seed", type=whole_number(0, MOST_SEED), metavar="N", help="of the check (default: a new one)")
    options = parser.parse_args()
    if not options.folder.is_dir():
        raise UserError(f"{options.folder}: {'not a folder' if options.folder.exists() else 'no such folder'}")
    written = [form for form in (options.csv, options.json, options.gradescope, options.feedback) if form]
    if len(set(written)) < len(written):
        raise UserError("two of the outputs have the same file")
    points = Points(options.points)
    sandbox.need(options.unconfined)
    handed_in = collect(options.folder, options.task, one_student=bool(options.gradescope))
    if not handed_in.students and not options.gradescope:
        raise UserError(f"{options.folder}: nothing was handed in there")
    settings = {"folder": str(options.folder.resolve()), "check": _version(), "seed": options.seed}
    try:
        found = _marked(handed_in, settings, options)
    except SystemExit as stop:
        print(f"Ended by a signal {progress.where}.", file=sys.stderr)
        raise stop
    for mark in found:
        points.give(mark)
    alike = groups({each.name: (each.task, each.code) for each in handed_in.submissions if not each.given})
    for group, (_, names) in zip(GROUPS, alike, strict=False):
        for mark in found:
            mark.group = group if mark.file in names else mark.group
    _show(found, handed_in.left, alike)
    _write(found, handed_in.left, settings, options)
    sys.exit(1 if handed_in.left or any(mark.status == "error" for mark in found) else 0)


def _version() -> str:
    """A digest of all that a verdict depends on: the check, the lessons, what they share."""
    parts = [ROOT / part for part in ("check", "common", "exercises")]
    files = [*ROOT.glob("task0*.py"), *(file for part in parts for file in part.rglob("*.py")), *FILES.values()]
    files += [each.official for each in EXERCISES.values()]
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    return digest.hexdigest()


# Marks


def _marked(handed_in: HandedIn, settings: dict, options) -> list[Mark]:
    """A mark for each submission, kept in --json as it comes, and one for everybody without any."""
    known = _known(options.json, settings)
    if settings["seed"] is None:
        settings["seed"] = secrets.randbelow(MOST_SEED)
    found: list[Mark] = []
    for mark in _all(handed_in.submissions, known, settings["seed"], options):
        found.append(mark)
        if options.json:
            forms.write(options.json, forms.as_json(found, handed_in.left, settings))
    tasks = {mark.task for mark in found} | ({options.task} if options.task else set())
    only = tasks.pop() if len(tasks) == 1 else ""
    with_some = {(mark.student, mark.id) for mark in found}
    for student in handed_in.students:
        if (student.name, student.id) not in with_some:
            found.append(Mark(student.name, student.id, only, "", "missing", []))
    return sorted(found, key=lambda mark: (mark.student.lower(), mark.id, mark.task))


def _known(file: Path | None, settings: dict) -> dict[tuple, Mark]:
    """Marks of an earlier run with the same check and seed, by task and code. Its seed is taken where none is given."""
    if file is None or not file.exists():
        return {}
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        names = {each.name for each in fields(Mark)}
        old = [Mark(**{key: value for key, value in mark.items() if key in names}) for mark in kept["marks"]]
        before = {**kept["settings"]}
        folder = before["folder"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise UserError(f"{file}: exists, but is not an earlier run's; remove it or write elsewhere") from error
    if folder != settings["folder"]:
        raise UserError(f"{file}: contains the marks of {folder}; write those of another folder elsewhere")
    if settings["seed"] is None and isinstance(before.get("seed"), int):
        settings["seed"] = before["seed"]
    if before != settings:
        return {}
    return {(mark.task, mark.sha256): mark for mark in old if mark.stages and mark.status != "error"}


def _all(submissions: list[Submission], known: dict[tuple, Mark], seed: int, options) -> Iterator[Mark]:
    """A mark for each submission as it comes, with a bar and the time left on a terminal's stderr."""
    todo = []
    for each in submissions:
        old = known.get((each.task, each.sha256))
        if each.given:
            yield _mark(each, "not started", [])
        elif old is not None:
            yield _mark(each, old.status, old.stages, old.seconds, old.confined)
        else:
            todo.append(each)
    start = time.monotonic()
    try:
        for done, mark in enumerate(_checked(todo, options.jobs, seed), 1):
            kept = f", kept in {options.json}: the same command goes on" if options.json else ""
            progress.where = f"after {done} of {len(todo)} files{kept}"
            left = duration((time.monotonic() - start) / done * (len(todo) - done))
            status.show(f"{done}/{len(todo)}, {left} left  {mark.file}")
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
                yield mark_submission(each, seed, zygote)
        return
    with ProcessPoolExecutor(min(jobs, len(todo)), get_context("spawn"), _worker, (os.getpid(),)) as pool:
        coming = {pool.submit(mark_submission, each, seed): each for each in todo}
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


def _worker(parent: int) -> None:
    """A process of --jobs has a zygote of its own; it ends at Ctrl-C, and without its parent (kill -9)."""
    global own_zygote
    own_zygote = Zygote()
    Finalize(None, own_zygote.__exit__, exitpriority=10)
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def mark_submission(each: Submission, seed: int, zygote: Zygote | None = None) -> Mark:
    """Check a submission, every stage. Any error is in this file's mark, and does not affect other students."""
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for place, content in (each.files | {each.place: each.content}).items():
                Path(folder, place).parent.mkdir(parents=True, exist_ok=True)
                Path(folder, place).write_bytes(content)
            file, shared = Path(folder, each.place), zygote or own_zygote
            results = list(check(each.task, file, True, seed, zygote=shared, within=Path(folder), graded=True))
    except Exception as error:
        return _broken(each, printable(f"{type(error).__name__}: {error}"))
    stages = [result.as_dict() for result in results]
    return _mark(each, verdict(results), stages, round(time.perf_counter() - start, 1), sandbox.kind())


def _mark(each: Submission, status: str, stages: list[dict], seconds: float = 0.0, confined: str = "") -> Mark:
    who, of_file = (each.student.name, each.student.id, each.task), (each.sha256, each.late, each.given)
    return Mark(*who, each.name, status, stages, seconds, *of_file, confined)


def _broken(each: Submission, why: str) -> Mark:
    return _mark(each, "error", [{"stage": names_of(each.task)[0], "status": "error", "detail": why}])


# What is told


def _show(found: list[Mark], left: dict[str, str], alike: list[tuple[float, list[str]]]) -> None:
    """The table, a summary, groups of files of one origin, and what is not in the table."""
    _print_table(_rows(found))
    print(f"\n{summary(found)}")
    for group, (share, names) in zip(GROUPS, alike, strict=False):
        print(f"group {group}, at least {share:.0%} alike: {', '.join(names)}")
    if left:
        print("\nNot graded:")
        for name, reason in left.items():
            print(f"  {name}: {reason}")


def _rows(found: list[Mark]) -> list[list[str]]:
    several = {name for name, count in Counter(m.student for m in found if m.id).items() if count > 1}
    rows = []
    for m in found:
        student = f"{m.student} ({m.id})" if m.student in several and m.id not in m.student else m.student
        points = f"{m.points:g} of {m.most:g}" if m.task else "0"
        rows.append([student, m.task, (m.given and "not started") or m.status, points, m.reached, "; ".join(m.notes)])
    return rows


def _print_table(rows: list[list[str]]) -> None:
    """In the width of a terminal, else as columns of plain text."""
    if is_terminal(sys.stdout):
        table = Table(*HEAD, box=None, header_style="bold")
        for row in rows:
            table.add_row(*map(Text, row))
        Console(highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(HEAD, *rows, strict=True)]
    for row in [HEAD, *rows]:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def summary(found: list[Mark]) -> str:
    """How many pass, and which stages stop most."""
    passed = sum(m.status == "pass" for m in found)
    stops = Counter(m.reached for m in found if m.reached and not m.given)
    most = ", ".join(f"{stage} ({count})" for stage, count in stops.most_common(3))
    return f"{passed} of {len(found)} pass." + (f" Most stop at: {most}." if most else "")


def _write(found: list[Mark], left: dict[str, str], settings: dict, options) -> None:
    """All forms that were asked for. One that cannot be written does not keep the others from being written."""
    tables = [(options.csv, forms.as_csv), (options.gradescope, forms.gradescope)]
    texts = [(place, form(found, left)) for place, form in tables if place]
    if options.json:
        texts.append((options.json, forms.as_json(found, left, settings)))
    for export, fill in ((options.moodle, forms.moodle), (options.canvas, forms.canvas)):
        if export:
            text, unmatched = fill(export, found)
            place = export.with_name(f"{export.stem}.marked.csv")
            texts.append((place, text))
            print(f"\n{place}: written." + (f" Not in {export.name}: {', '.join(unmatched)}" if unmatched else ""))
    if options.feedback:
        texts += _pages(found, left, options.feedback)
    problems = []
    for place, text in texts:
        try:
            forms.write(place, text)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("; ".join(problems))


def _pages(found: list[Mark], left: dict[str, str], folder: Path) -> list[tuple[Path, str]]:
    """A page for each student. Raises UserError if the folder cannot be made."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {'not a folder' if folder.exists() else error.strerror}") from error
    pages = []
    for (student, number), name in forms.page_names(list(dict.fromkeys((m.student, m.id) for m in found))).items():
        own = [m for m in found if (m.student, m.id) == (student, number)]
        others = {file: reason for file, reason in left.items() if file.split("/")[0] == student}
        pages.append((folder / name, forms.feedback(student, own, others)))
    return pages
