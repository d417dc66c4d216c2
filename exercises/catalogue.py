"""The exercises: a file each, exercises/NAME.md, from which all lists are made (CONTRIBUTING.md: how to add one)."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.exercises import FACTS, FILES, FOLDERS, parts
from common.run import UserError

FRONT = ("suite", "write", "hints_are_about", "title", "model")  # as they are between the +++ lines
HINTS = "Hints"
FOR_STAGE = f"{HINTS}: "
SHARED = FOLDERS[0] / "stages.md"


@dataclass(frozen=True)
class Exercise:
    """A task or piece. `shapes` is a drawing; `given` holds what the documented digits need; `why` is for afterwards.

    `write`: what the learner writes, functions, and methods as Class.method. `title`: of an exercise that shares its
    official file with others. `model`: what differs from task 2's model (check/judge/reference.py), where there is one.
    """

    official: Path
    suite: str  # the module of check/judge/suites
    write: list[str]
    hints: list[str]  # three, from a nudge to the formula
    of_stages: dict[str, list[str]]  # stage of the check → its hints; the others are what `hints` is about
    hints_are_about: list[str] = field(default_factory=list)  # stages
    title: str = ""
    model: dict | None = None
    idea: str = ""
    formula: str = ""
    shapes: str = ""
    given: str = ""
    paper: str = ""
    why: str = ""

    def about(self, stage: str) -> list[str]:
        """The hints for a stage; empty for one that the exercise's own hints, in their order, are about."""
        return [] if stage in self.hints_are_about else self.of_stages.get(stage, [])


def sections(text: str) -> dict[str, str]:
    """The title of each section of a Markdown text → what is in it."""
    found = re.split(r"^## +(.+?) *\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], (body.strip("\n") for body in found[1::2]), strict=True))


def paragraph(text: str) -> str:
    """Lines as one."""
    return " ".join(line.strip() for line in text.split("\n") if line.strip())


def numbered(text: str) -> list[str]:
    """The items of a numbered list."""
    return [paragraph(item) for item in re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]]


def drawing(text: str) -> str:
    """A block of code without its marks."""
    return re.sub(r"^```.*\n?", "", text, flags=re.MULTILINE).rstrip("\n")


def hints_of_stages(found: dict[str, str]) -> dict[str, list[str]]:
    """Stage → hints, of the sections of a file."""
    return {title[len(FOR_STAGE) :]: numbered(text) for title, text in found.items() if title.startswith(FOR_STAGE)}


def read(name: str) -> Exercise:
    """The exercise of a file. Raises UserError for a file that cannot be one."""
    path, facts = FILES[name], FACTS[name]
    found = sections(parts(path)[1])
    if missing := [key for key in ("official", "suite", "write") if not facts.get(key)]:
        raise UserError(f"{path}: no {missing[0]} between its +++ lines")
    if unknown := [title for title in found if title not in (*TEXTS, HINTS) and not title.startswith(FOR_STAGE)]:
        raise UserError(f"{path}: no section is called {unknown[0]!r}; expected {', '.join(TEXTS)} or {HINTS}")
    if not numbered(found.get(HINTS, "")):
        raise UserError(f"{path}: the section {HINTS} has no numbered hint")
    told: dict[str, Any] = {key: facts[key] for key in FRONT if key in facts}
    texts: dict[str, Any] = {title.lower(): TEXTS[title](found[title]) for title in TEXTS if title in found}
    official, hints = (path.parent / facts["official"]).resolve(), numbered(found[HINTS])
    if not official.is_file():
        raise UserError(f"{path}: there is no official file {official}")
    return Exercise(official=official, hints=hints, of_stages=STAGES | hints_of_stages(found), **told, **texts)


TEXTS = dict.fromkeys(("Idea", "Formula", "Shapes", "Given", "Paper", "Why"), paragraph) | {"Shapes": drawing}
STAGES = hints_of_stages(sections(SHARED.read_text(encoding="utf-8")))
EXERCISES = {name: read(name) for name in FACTS}
TASKS = [name for name, each in EXERCISES.items() if each.suite == "task"]
CHANGES = [name for name, each in EXERCISES.items() if each.suite == "change"]  # of task 9: variants/
PIECES = [name for name in EXERCISES if name not in [*TASKS, *CHANGES]]
