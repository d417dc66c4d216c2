"""What a learner sees at 60, 80 and 120 columns, as text: python -m tools.screens

Writes docs/logs/screens.txt: a failure, the table, a watched file, attention and the help, each in a new terminal.
"""

import tempfile
from pathlib import Path

from common.machine import describe
from common.parser import Parser
from common.run import progress, run
from exercises import build
from tools.walk import ROOT, copy_repository, renamed, screen

PLACE = ROOT / "docs" / "logs" / "screens.txt"
WIDTHS = (60, 80, 120)
SCREENS: dict[str, tuple[tuple[str, str], ...]] = {  # command → what is typed, each after a text
    "python -m check my_task03.py": (),
    "python -m check": (),
    "python -m check --watch my_task03.py": (("hint 1\r\n", "h"), ("About causality", "q")),
    "python -m check look my_task02.py --seconds 5": (),
    "python -m check --help": (),
    "python task03.py --help": (),
}


def main() -> None:
    Parser(description=__doc__).parse_args()
    progress.where = "while it recorded"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_repository(folder)
        lines = [line for width in WIDTHS for line in screens(folder, width)]
    PLACE.write_text("\n".join([*lines, f"# {describe()}"]) + "\n", encoding="utf-8")
    print(f"{PLACE.relative_to(ROOT)}: {len(lines)} lines")


def screens(folder: Path, width: int):
    """The lines of all screens of one width."""
    (folder / ".check.json").unlink(missing_ok=True)
    blind = build.source("task03").replace('scores = torch.where(mask, scores, float("-inf"))', "scores = scores")
    (folder / "my_task02.py").write_text(renamed(build.source("task02")), encoding="utf-8")
    (folder / "my_task03.py").write_text(blind, encoding="utf-8")
    for command, keys in SCREENS.items():
        yield f"== {width} columns: $ {command}\n"
        yield screen(command, folder, width, keys) + "\n"


if __name__ == "__main__":
    run(main)
