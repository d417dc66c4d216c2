"""What a learner has passed, saved in .check.json in the current folder."""

import contextlib
import datetime
import hashlib
import json
import os
from pathlib import Path

from check.command.names import command, own_files, own_name
from check.judge.result import Result
from common.files import replace
from exercises.catalogue import CHANGES, EXERCISES, PIECES, TASKS

PLACE = Path(".check.json")
NO_CHECK = "no check: read it and run it"  # of task 8


class State:
    """The results of the last checks, by task; and where the files are. A file that cannot be read counts as empty."""

    def __init__(self) -> None:
        self.folder = Path()
        self.results: dict[str, dict] = {}
        self.hints: dict[str, int] = {}  # task, file and a stage with hints of its own → the last that was asked for
        self.failed: dict[str, str] = {}  # task and file → the stage that failed first in the last check
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            kept = json.loads(PLACE.read_text(encoding="utf-8"))
            self.folder = Path(kept["folder"])
            self.results = {task: dict(result) for task, result in kept["results"].items()}
            self.hints = {task: int(level) for task, level in kept.get("hints", {}).items()}
            self.failed = {task: str(stage) for task, stage in kept.get("failed", {}).items()}

    def save(self) -> None:
        """Write it, completely or not at all; if that fails, only the memory of earlier checks is lost."""
        kept = {"folder": str(self.folder), "results": self.results, "hints": self.hints, "failed": self.failed}
        partial = PLACE.with_name(f"{PLACE.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            replace(partial, PLACE)

    def next_hint(self, task: str, file: Path | None = None, stage: str = "") -> int:
        """The first hint for a stage that was not asked for yet for this file (the table's by default), or the last."""
        about = EXERCISES[task].about(stage)
        asked = self.hints.get(self._hinted(task, file) + f" {stage}" * bool(about), 0)
        return min(len(about or EXERCISES[task].hints), asked + 1)

    def _hinted(self, task: str, file: Path | None) -> str:
        return f"{task} {(file or self.own(task)).resolve()}"

    def own(self, task: str) -> Path:
        """The file that the table shows for a task, or would show."""
        return own_files(self.folder).get(task) or self.folder / own_name(task)

    def hint(self, task: str, level: int, file: Path | None = None) -> str:
        """A hint for the stage that failed in the last check; it is noted as given, unless it skips one.

        If that stage has no hints, or no stage failed, it is a hint for the whole task.
        """
        stage = self.failed.get(self._hinted(task, file), "")
        about = EXERCISES[task].about(stage)
        hints = about or EXERCISES[task].hints
        level = min(level, len(hints))
        if level <= self.next_hint(task, file, stage):
            self.hints[self._hinted(task, file) + f" {stage}" * bool(about)] = level
            self.save()
        return f"About {stage if about else f'all of {task}'}: {hints[level - 1]}"

    def notes(self, task: str, path: Path) -> list[str]:
        """What the last check of this very text noted."""
        result = self.results.get(task, {})
        return list(result.get("notes", [])) if result.get("sha256") == digest(path) else []

    def note(self, task: str, path: Path, results: list[Result], status: str) -> None:
        """Remember where a file failed; and all that a check found, if the file is the one that the table shows."""
        key, failed = self._hinted(task, path), failed_first(results)
        if failed != self.failed.get(key, ""):
            self.failed[key] = failed
            self.save()
        if self.own(task).resolve() != path.resolve():
            return
        stage = next((result.stage for result in results if result.status == status and status != "pass"), "")
        when = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
        kept = {"sha256": digest(path), "status": status, "stage": stage, "when": when}
        self.results[task] = kept | {"notes": notes_of(results)}
        self.save()


def failed_first(results: list[Result]) -> str:
    """The stage at which a check failed; empty where none did."""
    return next((result.stage for result in results if result.status == "fail"), "")


def notes_of(results: list[Result]) -> list[str]:
    """How a file that passes differs from the lesson."""
    return [note for result in results for note in result.notes]


def digest(path: Path) -> str:
    """SHA-256 of a file; empty where it cannot be read."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return ""


def rows(state: State) -> list[tuple[str, str, str, str]]:
    """(task, file, what is known of it, when) for all tasks, and for the pieces that have a file."""
    files = own_files(state.folder)
    found = [
        (task, str(files[task]) if task in files else "", *known(state, task, files.get(task)))
        for task in [*TASKS, *(name for name in [*PIECES, *CHANGES] if name in files)]
    ]
    at = TASKS.index("task07") + 1
    return [*found[:at], ("task08", "", NO_CHECK, ""), *found[at:]]


def known(state: State, task: str, path: Path | None) -> tuple[str, str]:
    """What the last check said of a file, and when."""
    result = state.results.get(task)
    if path is None:
        return "not started", ""
    if result is None:
        return "not checked yet", ""
    said = {
        "pass": "passed",
        "fail": f"fails at {result.get('stage')}",
        "not started": "a starter, not written yet",
        "undecided": f"not decided at {result.get('stage')}",
    }.get(str(result.get("status")), "the check could not run")
    if digest(path) != result.get("sha256"):
        said = f"changed since it {'passed' if result.get('status') == 'pass' else 'was checked'}"
    return said, str(result.get("when", ""))


def following(state: State) -> str:
    """The command to give next."""
    files = own_files(state.folder)
    for task in TASKS:
        if known(state, task, files.get(task))[0] != "passed":
            return command(files[task]) if task in files else command("start", task)
    return "python task08_infinite.py"
