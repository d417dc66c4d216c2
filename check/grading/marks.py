"""Marks and points."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from check.judge.suites import stages_of
from check.judge.suites.change import UNKNOWN
from common.run import UserError
from exercises.catalogue import EXERCISES

WORDS = {
    "pass": "all properties hold",
    "fail": "a property does not hold",
    "not started": "not written yet",
    "undecided": "could not be decided",
    "error": "could not be checked",
    "missing": "nothing was handed in",
}


@dataclass
class Mark:
    """What a student gets for a task."""

    student: str
    id: str  # the platform's number; empty where there is none
    task: str
    file: str
    status: str
    stages: list[dict]
    seconds: float = 0.0
    sha256: str = ""
    late: bool = False
    given: str = ""  # the repository's own file, or its starter, in words
    confined: str = ""  # by what the file was kept from doing harm; "no" where by nothing
    points: float = 0.0
    worth: dict[str, float] = field(default_factory=dict)  # points of each stage
    group: str = ""  # of files of one origin

    @property
    def most(self) -> float:
        """The points of all stages."""
        return sum(self.worth.values())

    @property
    def is_unknown(self) -> bool:
        """Whether it is task 9 with a change that the check does not know."""
        return any(stage.get("detail", "").startswith(UNKNOWN) for stage in self.stages)

    @property
    def said(self) -> dict[str, str]:
        """Stage → its status, "not reached" where an earlier one had to hold first."""
        found = {stage["stage"]: stage["status"] for stage in self.stages}
        return {stage: found.get(stage, "not reached") for stage in names_of(self.task)} if self.task else {}

    @property
    def reached(self) -> str:
        """The first stage that does not hold; empty where all do."""
        return next((stage["stage"] for stage in self.stages if stage["status"] != "pass"), "")

    @property
    def notes(self) -> list[str]:
        """What a teacher should know besides the points."""
        unreached = sum(status == "not reached" for status in self.said.values()) if self.stages else 0
        return [
            *([self.given] if self.given else []),
            *([f"{UNKNOWN}: for the teacher"] if self.is_unknown else []),
            *(["late"] if self.late else []),
            *([f"{unreached} not reached"] if unreached else []),
            *([f"group {self.group}"] if self.group else []),
            *(["unconfined"] if self.confined == "no" else []),
        ]


class Points:
    """The points of each stage, 1 by default; and the shares for late files and for stages that were not reached.

    The file has the form of docs/teaching/points.toml.
    """

    def __init__(self, path: Path | None = None):
        self.late, self.not_reached = 1.0, 0.0
        self.tables: dict[str, dict[str, float]] = {}
        if path is None:
            return
        try:
            read = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not TOML: {error}") from error
        for name in ("late", "not_reached"):
            share = read.pop(name, getattr(self, name))
            if not _is_number(share) or share > 1:
                raise UserError(f"{path}: {name}: expected a share from 0 to 1, got {share}")
            setattr(self, name, float(share))
        for task, table in read.items():
            if task != "default" and task not in EXERCISES:
                raise UserError(f"{path}: [{task}]: expected default, or a task or piece")
            known = {stage for each in (EXERCISES if task == "default" else [task]) for stage in names_of(each)}
            for stage, points in table.items() if isinstance(table, dict) else [(task, table)]:
                if stage not in known or not _is_number(points):
                    raise UserError(f"{path}: {stage} = {points}: expected a stage of {task}, and a number from 0")
            self.tables[task] = {stage: float(points) for stage, points in table.items()}

    def of(self, task: str, stage: str) -> float:
        """What a stage of a task is worth."""
        return self.tables.get(task, {}).get(stage, self.tables.get("default", {}).get(stage, 1.0))

    def give(self, mark: Mark) -> None:
        """Set a mark's points. A file that everybody was given has none, whatever passes."""
        if not mark.task:
            return
        mark.worth = {stage: self.of(mark.task, stage) for stage in names_of(mark.task)}
        if mark.given or not mark.stages or mark.is_unknown:
            return
        shares = {"pass": 1.0, "not reached": self.not_reached}
        held = sum(mark.worth[stage] * shares.get(status, 0.0) for stage, status in mark.said.items())
        mark.points = round(held * (self.late if mark.late else 1.0), 4)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def names_of(task: str) -> list[str]:
    """The stages of a task, by name."""
    return [stage.__name__ for stage in stages_of(task)]


def meaning(task: str, stage: str) -> str:
    """What a stage tests, in a line."""
    found = next(each for each in stages_of(task) if each.__name__ == stage)
    return (found.__doc__ or "").strip().split("\n")[0]
