"""Points, and the forms in which platforms want them: CSV, JSON, a page for each student, Gradescope's results."""

import csv
import io
import json
import os
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from check.suites import stages_of
from common.files import replace
from common.run import UserError
from exercises.hints import HINTS

WORDS = {
    "pass": "all properties hold",
    "fail": "a property does not hold",
    "not started": "not written yet",
    "undecided": "could not be decided",
    "error": "could not be checked",
}


@dataclass
class Mark:
    """What a student gets for a task."""

    student: str
    task: str
    file: str
    status: str
    stages: list[dict]
    seconds: float
    sha256: str
    late: bool
    points: float = 0.0
    worth: dict[str, float] = field(default_factory=dict)  # points of each stage
    like: list[str] = field(default_factory=list)

    @property
    def most(self) -> float:
        """The points of all stages."""
        return sum(self.worth.values())

    @property
    def passed(self) -> int:
        """How many stages hold."""
        return sum(stage["status"] == "pass" for stage in self.stages)

    @property
    def reached(self) -> str:
        """The first stage that does not hold; the last one where all do."""
        wrong = (stage["stage"] for stage in self.stages if stage["status"] != "pass")
        return next(wrong, self.stages[-1]["stage"] if self.stages else "")


class Points:
    """What each stage is worth: 1, or what a TOML file says, and what a late file keeps of it.

    late = 0.5              # the share of its points that a late file keeps (default: all)
    [default]               # points of a stage in every task
    training = 2
    [task03]                # and in one
    logits = 5
    """

    def __init__(self, path: Path | None = None):
        self.late = 1.0
        self.tables: dict[str, dict[str, float]] = {}
        if path is None:
            return
        try:
            read = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not TOML: {error}") from error
        late = read.pop("late", 1.0)
        if not _is_number(late) or late > 1:
            raise UserError(f"{path}: late: expected a share from 0 to 1, got {late}")
        self.late = float(late)
        for task, table in read.items():
            if task != "default" and task not in HINTS:
                raise UserError(f"{path}: [{task}]: expected default, or a task or piece")
            known = {stage for each in (HINTS if task == "default" else [task]) for stage in names_of(each)}
            for stage, points in table.items() if isinstance(table, dict) else [(task, table)]:
                if stage not in known or not _is_number(points):
                    raise UserError(f"{path}: {stage} = {points}: expected a stage of {task}, and a number from 0")
            self.tables[task] = {stage: float(points) for stage, points in table.items()}

    def of(self, task: str, stage: str) -> float:
        """What a stage of a task is worth."""
        return self.tables.get(task, {}).get(stage, self.tables.get("default", {}).get(stage, 1.0))

    def give(self, mark: Mark) -> None:
        """Set a mark's points."""
        share = self.late if mark.late else 1.0
        mark.worth = {stage: self.of(mark.task, stage) for stage in names_of(mark.task)}
        held = (mark.worth[stage["stage"]] for stage in mark.stages if stage["status"] == "pass")
        mark.points = round(share * sum(held), 4)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def names_of(task: str) -> list[str]:
    """The stages of a task, by name."""
    return [stage.__name__ for stage in stages_of(task)]


def write(path: Path, text: str) -> None:
    """Write a file whole, or not at all. Raises UserError where it cannot be written."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        replace(beside, path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def as_json(marks: list[Mark], left: dict[str, str], settings: dict) -> str:
    """All that is known. A later run reads it, to check only what is new."""
    return json.dumps({"settings": settings, "marks": [asdict(m) for m in marks], "not graded": left}, indent=1) + "\n"


def as_csv(marks: list[Mark], left: dict[str, str]) -> str:
    """A line for each student and task, and for each file that was not graded."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    head = (
        "student,task,status,stage reached,stages passed,stages,points,of,late,seconds,SHA-256,file,like,why not graded"
    )
    table.writerow(head.split(","))
    for m in marks:
        stages = len(names_of(m.task))
        late = "late" if m.late else ""
        row = [m.student, m.task, m.status, m.reached, m.passed, stages, f"{m.points:g}", f"{m.most:g}", late]
        row += [f"{m.seconds:.1f}", m.sha256, m.file, "; ".join(m.like), ""]
        table.writerow([_harmless_cell(cell) for cell in row])
    for name, reason in left.items():
        table.writerow([_harmless_cell(cell) for cell in ["", "", "not graded", *[""] * 8, name, "", reason]])
    return out.getvalue()


def _harmless_cell(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def feedback(student: str, marks: list[Mark], left: dict[str, str]) -> str:
    """A page to give back: for each task what holds, and all that the first failure says."""
    lines = [f"# {_markdown(student)}", ""]
    for m in marks:
        stages = names_of(m.task)
        lines += [f"## {m.task}: {WORDS[m.status]}", ""]
        late = ", handed in late" if m.late else ""
        lines += [
            f"{m.passed} of {len(stages)} stages hold; {m.points:g} of {m.most:g} points{late}. File: `{m.file}`.",
            "",
        ]
        lines += ["| stage | |", "|---|---|"]
        said = {stage["stage"]: stage["status"] for stage in m.stages}
        lines += [f"| {stage} | {said.get(stage, 'not reached')} |" for stage in stages]
        for stage in m.stages:
            if stage["status"] in ("fail", "error", "undecided", "not started"):
                lines += ["", f"**{stage['stage']}**: {_markdown(stage.get('what') or stage.get('detail', ''))}", ""]
                told = [("expected", "expected"), ("got", "got"), ("sizes", "sizes"), ("hint", "a question")]
                lines += [f"- {word}: {_markdown(str(stage[key]))}" for key, word in told if stage.get(key)]
        lines.append("")
    if left:
        lines += ["## Not graded", "", *(f"- `{name}`: {reason}" for name, reason in left.items()), ""]
    return "\n".join(lines)


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in text)


def gradescope(marks: list[Mark], left: dict[str, str]) -> str:
    """results.json of an autograder: a test for each stage of each task.

    Fields: https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
    """
    tests = []
    for m in marks:
        said = {stage["stage"]: stage for stage in m.stages}
        held = sum(worth for stage, worth in m.worth.items() if said.get(stage, {}).get("status") == "pass")
        for stage, worth in m.worth.items():
            result = said.get(stage, {"status": "not reached"})
            holds = result["status"] == "pass"
            told = [f"{key}: {result[key]}" for key in ("what", "detail", "expected", "got", "hint") if result.get(key)]
            tests.append(
                {
                    "name": f"{m.task}: {stage}",
                    "score": round(worth * m.points / held, 4) if holds and held else 0.0,  # less where it was late
                    "max_score": worth,
                    "status": "passed" if holds else "failed",
                    "output": "\n".join(told) or result["status"],
                    "visibility": "visible",
                }
            )
    seconds = round(sum((m.seconds for m in marks), 0.0), 1)
    results: dict[str, Any] = {"execution_time": seconds, "stdout_visibility": "hidden"}
    if left:
        results["output"] = "Not graded:\n" + "\n".join(f"{name}: {reason}" for name, reason in left.items())
    if not tests:
        return json.dumps({"score": 0.0, "output": "Nothing was handed in."} | results, indent=1) + "\n"
    return json.dumps(results | {"tests": tests}, indent=1) + "\n"
