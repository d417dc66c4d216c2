"""The results of a stage: it passes, it fails, it is not started, it could not be decided."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True, eq=False)
class Failure(Exception):
    """A property that does not hold."""

    what: str
    expected: Any
    got: Any
    hint: str
    shapes: dict[str, list[int]] = field(default_factory=dict)
    source: str = ""
    example: str = ""

    def __post_init__(self) -> None:
        super().__init__(self.what)
        self.expected, self.got = str(self.expected), str(self.got)


class NotStarted(Exception):
    """A part that the learner has yet to write; the message names it."""


class Undecided(Exception):
    """A property that could not be tested; the message says why."""


class Broken(Exception):
    """The check itself could not go on, and the learner's code is not the reason; the message says why."""


@dataclass
class Result:
    """What one stage found. `status`: pass, fail, not started, undecided or error."""

    stage: str
    status: str
    detail: str = ""  # of all but a failure
    what: str = ""
    expected: str = ""
    got: str = ""
    hint: str = ""
    sizes: str = ""
    shapes: dict[str, list[int]] = field(default_factory=dict)
    source: str = ""  # the learner's own line: file, number, text
    output: str = ""  # the last lines that the learner's code printed
    example: str = ""  # lines with a small case in numbers
    notes: list[str] = field(default_factory=list)  # what is right, and other than in the lesson

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without what is empty."""
        return {name: value for name, value in vars(self).items() if value}
