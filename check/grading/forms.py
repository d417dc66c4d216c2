"""Writes marks as CSV, JSON, a page for each student, and the platforms' own tables."""

import csv
import hashlib
import io
import json
import os
import re
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from check.command.names import task_of
from check.grading.marks import WORDS, Mark, meaning
from common.run import UserError
from exercises.catalogue import EXERCISES

COLUMNS = ["student", "id", "task", "status", "stage", "stages passed", "not reached", "stages", "points", "of", "late"]
COLUMNS += ["seconds", "confined", "SHA-256", "file", "notes", "why not graded"]
TOLD = {"expected": "expected", "got": "got", "sizes": "sizes", "source": "your line", "hint": "a question"}


def write(path: Path, text: str) -> None:
    """Write a file whole, or not at all. Raises UserError where it cannot be written."""
    partial = path.with_name(f".{os.getpid()}.partial")
    try:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def as_json(marks: list[Mark], left: dict[str, str], settings: dict) -> str:
    """All that is known. A later run reads it, to check only what is new."""
    return json.dumps({"settings": settings, "marks": [asdict(m) for m in marks], "not graded": left}, indent=1) + "\n"


# Tables


def as_csv(marks: list[Mark], left: dict[str, str]) -> str:
    """A line for each student and task, and for each file that was not graded."""
    rows: list[list] = []
    for m in marks:
        said = list(m.said.values())
        rows.append([m.student, m.id, m.task, m.status, m.reached, said.count("pass"), said.count("not reached")])
        rows[-1] += [len(said), f"{m.points:g}", f"{m.most:g}", "late" if m.late else "", f"{m.seconds:.1f}"]
        rows[-1] += [m.confined, m.sha256, m.file, "; ".join(m.notes), ""]
    rows += [["", "", "", "not graded", *[""] * 10, name, "", reason] for name, reason in left.items()]
    return _table([[_harmless(cell) for cell in row] for row in (COLUMNS, *rows)])


def _table(rows: list[list]) -> str:
    """CSV with a byte order mark, by which spreadsheets know UTF-8."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return "\ufeff" + out.getvalue()


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet reads as a formula, whatever its separator is."""
    return re.sub(r"(^|[;,\t\r\n|])(\s*)(?=[=+\-@])", r"\1\2'", cell) if isinstance(cell, str) else cell


def _read(path: Path) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        dialect = csv.Sniffer().sniff(text[:4096], ",;\t") if ";" in text or "\t" in text else csv.excel
        return [row for row in csv.reader(io.StringIO(text), dialect) if row]  # a spreadsheet may leave blank lines
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a CSV in UTF-8: {error}") from error


def moodle(export: Path, marks: list[Mark]) -> tuple[str, list[str]]:
    """Moodle's grading worksheet with the grades filled in, and who could not be matched.

    A student's points of all tasks count as a share of the Maximum Grade.
    Columns: https://docs.moodle.org/en/Assignment_activity#Offline_marking (Identifier, Full name, Grade, …)
    """
    head, *rows = _read(export) or [[]]
    for wanted in ("Identifier", "Grade"):
        if wanted not in head:
            raise UserError(f"{export}: no column {wanted!r}: expected the grading worksheet that Moodle exports")
    people = _People(marks)
    for row in rows:
        cells = dict(zip(head, row, strict=False))
        own = people.find(re.sub(r"\D", "", cells["Identifier"]), cells.get("Full name", ""))
        if own:
            most = float((cells.get("Maximum Grade") or "100").replace(",", "."))
            row[head.index("Grade")] = f"{most * _share(own):.2f}"
    return _table([head, *rows]), people.unmatched()


def canvas(export: Path, marks: list[Mark]) -> tuple[str, list[str]]:
    """Canvas's gradebook with the grades filled in, and who could not be matched.

    Each column of an assignment whose name holds a task gets that task's points, as a share of Points Possible.
    Columns: https://community.canvaslms.com/t5/Instructor-Guide/How-do-I-import-grades-in-the-Gradebook/ta-p/807
    """
    head, *rows = _read(export) or [[]]
    columns = {place: task for place, name in enumerate(head) if (task := task_of(Path(name)))}
    if "ID" not in head or "Student" not in head or not columns:
        raise UserError(f"{export}: expected Canvas's gradebook: Student, ID, and a column such as 'Task 3 (1234)'")
    possible = next((row for row in rows if row[0].strip() == "Points Possible"), [])
    people = _People(marks)
    for row in rows:
        own = people.find(row[head.index("ID")].strip(), row[0]) if row is not possible else []
        for place, task in columns.items():
            done = [mark for mark in own if mark.task == task]
            if done:
                most = float(possible[place]) if len(possible) > place and possible[place].strip() else done[0].most
                row[place] = f"{most * _share(done):.2f}"
    return _table([head, *rows]), people.unmatched()


def _share(marks: list[Mark]) -> float:
    return sum(m.points for m in marks) / max(sum(m.most for m in marks), 1e-9)


class _People:
    """Marks by the platform's number of a student, or by a name that only one has."""

    def __init__(self, marks: list[Mark]):
        self.of: dict[tuple[str, str], list[Mark]] = defaultdict(list)  # (name's letters, number) → marks
        for mark in marks:
            if mark.task:
                self.of[_letters(mark.student), mark.id].append(mark)
        self.left = set(self.of)

    def find(self, number: str, name: str) -> list[Mark]:
        named = [key for key in self.of if key[0] == _letters(name)]
        found = [key for key in self.of if key[1] == number and number]
        found = found or (named if not any(key[1] for key in named) else [])
        self.left -= set(found)
        return [mark for key in found for mark in self.of[key]]

    def unmatched(self) -> list[str]:
        return sorted({f"{m.student} {m.id}".strip() for key in self.left for m in self.of[key]})


def _letters(name: str) -> str:
    """A name's letters; Canvas's file names have no others."""
    return "".join(filter(str.isalnum, name.lower()))


# Pages


def page_names(students: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """(name, number) of each student → a file name that no other has, on any file system."""
    names: dict[tuple[str, str], str] = {}
    plain = {key: re.sub(r"[^\w .-]", "_", key[0])[:60].strip(". ") or "_" for key in students}
    taken = [name.casefold() for name in plain.values()]
    for key, name in plain.items():
        unlike = name != key[0] or taken.count(name.casefold()) > 1
        digest = hashlib.sha256("\0".join(key).encode("utf-8", "backslashreplace")).hexdigest()[:6]
        names[key] = f"{name} {digest}.md" if unlike else f"{name}.md"
    return names


def feedback(student: str, marks: list[Mark], left: dict[str, str]) -> str:
    """A page to hand back: for each task what holds, what a failure says, and what is missing for full marks."""
    lines = [f"# {_markdown(student)}", ""]
    for m in marks:
        lines += [f"## {m.task or 'No task'}: {m.given or WORDS[m.status]}", ""]
        if not m.task:
            continue
        late = ", handed in late" if m.late else ""
        file = f" File: {_markdown(m.file)}." if m.file else ""
        lines += [f"{m.points:g} of {m.most:g} points{late}.{file}", ""]
        lines += ["| stage | what it tests | | points |", "|---|---|---|---|"]
        lines += [
            f"| {stage} | {_markdown(meaning(m.task, stage))} | {status} | {m.worth[stage]:g} |"
            for stage, status in m.said.items()
        ]
        for stage in m.stages:
            if stage["status"] not in ("pass", "not reached"):
                lines += _told(m.task, stage)
        missing = [stage for stage, status in m.said.items() if status != "pass" and m.worth[stage]]
        if missing:
            lines += ["", f"For full marks: {', '.join(missing)}.", ""]
    if left:
        lines += ["", "## Not graded", ""]
        lines += [f"- {_markdown(name)}: {_markdown(reason)}" for name, reason in left.items()]
    return "\n".join(lines) + "\n"


def _told(task: str, stage: dict) -> list[str]:
    """The message of a stage that fails."""
    lines = ["", f"**{stage['stage']}**: {_markdown(stage.get('what') or stage.get('detail', ''))}", ""]
    lines += [f"- {word}: {_markdown(str(stage[key]))}" for key, word in TOLD.items() if stage.get(key)]
    if stage.get("example"):
        lines += ["", *(f"    {line}" for line in str(stage["example"]).splitlines()), ""]
    lines += [f"- the first hint: {_markdown((EXERCISES[task].about(stage['stage']) or EXERCISES[task].hints)[0])}"]
    if EXERCISES[task].idea:
        lines += [f"- read: {EXERCISES[task].paper}"]
    return [*lines, "- what each stage tests: docs/check.md, The stages of a task"]


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|!&~" else " " if c in "\r\n" else c for c in text)


def gradescope(marks: list[Mark], left: dict[str, str]) -> str:
    """results.json of an autograder: a test for each stage of each task.

    Fields: https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
    """
    tests = []
    for m in marks:
        told = {stage["stage"]: stage for stage in m.stages}
        held = sum(m.worth[stage] for stage, status in m.said.items() if status == "pass")
        share = m.points / held if held else 0.0  # less than 1 where it was late
        for stage, status in m.said.items():
            holds, said = status == "pass" and not m.given, told.get(stage, {})
            keys = ("what", "detail", "expected", "got", "source", "hint")
            output = "\n".join(f"{key}: {said[key]}" for key in keys if said.get(key)) or m.given or status
            test = {"name": f"{m.task}: {stage}", "status": "passed" if holds else "failed", "output": output}
            score = round(m.worth[stage] * share * holds, 4)
            tests.append(test | {"score": score, "max_score": m.worth[stage], "visibility": "visible"})
    seconds = round(sum((m.seconds for m in marks), 0.0), 1)
    results: dict[str, Any] = {"execution_time": seconds, "stdout_visibility": "hidden"}
    if left:
        results["output"] = "Not graded:\n" + "\n".join(f"{name}: {reason}" for name, reason in left.items())
    if not tests:
        return json.dumps({"score": 0.0, "output": "Nothing was handed in."} | results, indent=1) + "\n"
    return json.dumps(results | {"tests": tests}, indent=1) + "\n"
