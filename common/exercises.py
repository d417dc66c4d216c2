"""Names and arguments of the exercises: what their files say between the +++ lines. A learner's process sees only that.

The files are exercises/NAME.md of this repository, and those of the folders in the variable EXERCISES (several as in
PATH): a teacher's own. One of the same name takes the place of the repository's.
"""

import os
import tomllib
from pathlib import Path

from common.run import UserError

MARK = "+++\n"
OWN = [Path(folder).resolve() for folder in os.environ.get("EXERCISES", "").split(os.pathsep) if folder]
FOLDERS = [Path(__file__).resolve().parent.parent / "exercises", *OWN]


def parts(path: Path) -> tuple[str, str]:
    """What a file says between its +++ lines, and what comes after; "" and all of it where there are none."""
    text = path.read_text(encoding="utf-8")
    before, *rest = text.split(MARK, 2)
    return (rest[0], rest[1]) if len(rest) == 2 and not before else ("", text)


def facts(path: Path) -> dict:
    """What a file says between its +++ lines. Raises UserError where that is not TOML."""
    try:
        return tomllib.loads(parts(path)[0])
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: between its +++ lines: {error}") from error


_files = {path.stem: path for folder in FOLDERS for path in folder.glob("*.md") if parts(path)[0]}
_all = {name: facts(path) for name, path in _files.items()}
FACTS = dict(sorted(_all.items(), key=lambda item: (item[1].get("order", 10_000), item[0])))
FILES = {name: _files[name] for name in FACTS}

# Of the exercises that are classes: names, what else sounds like one, arguments in order, whether it is a whole model.
_classes = {name: said["class"] for name, said in FACTS.items() if "class" in said}
CLASSES = {name: (each["names"], each["sounds_like"]) for name, each in _classes.items() if "names" in each}
ORDER = {name: tuple(each["arguments"]) for name, each in _classes.items()}
WHOLE = [name for name, each in _classes.items() if each.get("whole")]
BY_CLASS = sorted((name for name, each in _classes.items() if "rank" in each), key=lambda name: _classes[name]["rank"])
# Functions: what a function's name sounds like, where it has another; the arguments of some, in order.
_functions = {name: each for said in FACTS.values() for name, each in said.get("functions", {}).items()}
FUNCTIONS = {name: each["sounds_like"] for name, each in _functions.items()}
PARAMETERS = {name: tuple(each["arguments"]) for name, each in _functions.items() if "arguments" in each}
