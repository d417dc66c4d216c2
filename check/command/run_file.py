"""Run your own file, wherever it is, and compare its log with the documented one: python -m check run my_task03.py

The output is your file's. A last line, on stderr, says whether the losses are the documented ones digit for digit,
within rounding, or different, and what can be the reason. Words and flags after the file go to your file.
"""

import ast
import contextlib
import json
import re
import runpy
import statistics
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TextIO
from unittest.mock import patch

from check.command.check_file import meant, readable
from check.command.names import task_of
from check.command.state import State
from check.isolated.notebook import source_of
from common.run import UserError, progress
from common.terminal import paragraphs, wrapped
from exercises.build import ROOT
from exercises.catalogue import CHANGES

FINAL = re.compile(r"^Final val loss: ([\d.]+)", re.MULTILINE)
LINE = re.compile(r"^Epoch (\d+): avg train loss ([\d.]+) \| avg val loss ([\d.]+)$")
ROUNDING = 0.00015  # two numbers of four digits, each rounded
NEAR = 0.02  # by which another order of additions can change a loss, at most


class Tee:
    """A stream that also keeps the lines of the log."""

    def __init__(self, stream: TextIO):
        self.stream, self.text = stream, ""

    def write(self, text: str) -> int:
        self.text += text
        return self.stream.write(text)

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def losses(self) -> dict[int, tuple[float, float]]:
        """Step → training and validation loss."""
        found = map(LINE.match, self.text.splitlines())
        return {int(line[1]): (float(line[2]), float(line[3])) for line in found if line}


def main() -> None:
    words = sys.argv[1:]
    if not words:
        raise UserError("expected your file, or its task (see --help)")
    if words[0] in ("-h", "--help"):
        print(paragraphs(__doc__ or "", sys.stdout))
        return
    name, *rest = words
    file = Path(name) if Path(name).exists() else meant([name])[1]
    task = task_of(file)
    readable(file)
    with tempfile.TemporaryDirectory() as folder:
        code, why = file, 'it has no `if __name__ == "__main__"`'
        if file.suffix == ".ipynb":
            code, why = Path(folder, f"{file.stem}.py"), "run a notebook in Jupyter"
            code.write_bytes(source_of(file))
        if not _has_main(code):
            raise UserError(f"{file}: nothing to run: {why}")
        tee = execute(code, rest)
    documented = json.loads((ROOT / "docs" / "logs" / "documented.json").read_text()).get(task or "")
    if documented and tee.losses():
        notes = State().notes(task or "", file)
        print(wrapped(comparison(tee.losses(), documented, notes), sys.stderr), file=sys.stderr)
    if task in ("task09_rope", *CHANGES) and tee.losses():
        print(wrapped(next_to_task09(tee.text), sys.stderr), file=sys.stderr)


def next_to_task09(own: str) -> str:
    """A line about the last loss of a file with any change, and task 9's."""
    logs = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "logs").glob("task09_rope_seed*.txt"))]
    (step, loss), *theirs = (
        (max(map(int, re.findall(r"^Epoch (\d+)", log, re.MULTILINE))), FINAL.search(log)) for log in (own, *logs)
    )
    if loss is None or any(other != step for other, _ in theirs):
        return (
            f"Not compared with task 9's logs, which end at step {theirs[0][0]} with the preset laptop, yours at step "
            f"{step}: run `python task09_rope.py` with the flags that you gave, too."
        )
    losses = [float(found[1]) for _, found in theirs if found]
    mean, spread = statistics.mean(losses), statistics.stdev(losses)
    less = float(loss[1]) - mean
    what = "lower than task 9's by more than" if less < 0 else "higher by more than"
    what = "within" if abs(less) <= 2 * spread else what
    return (
        f"Next to task 9: yours ends at {loss[1]}, task 9 at {mean:.4f} ± {spread:.4f} over {len(losses)} seeds. Yours "
        f"is {what} twice the spread; one run does not prove it: try --seed 42, 43 and 44. Task 9's runs have a "
        "weight decay of 0.3 (`laptop` in its Config); without that line, yours has 0.1."
    )


def _has_main(file: Path) -> bool:
    try:
        return "__main__" in ast.unparse(ast.parse(file.read_bytes()))
    except SyntaxError as error:
        raise UserError(f"{file.name}, line {error.lineno}: {error.msg}") from error
    except ValueError as error:
        raise UserError(f"{file.name}: {error}") from error


def execute(file: Path, arguments: list[str]) -> Tee:
    """Run a file as a script that finds `common`; what it printed. Its exit is this program's, unless it is 0."""
    tee = Tee(sys.stdout)
    sys.path[:0] = [str(file.resolve().parent), str(ROOT)]
    progress.where = f"while {file.name} ran"
    try:
        with contextlib.redirect_stdout(tee), patch.object(sys, "argv", [str(file), *arguments]):
            runpy.run_path(str(file), run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        raise UserError(f"{file.name}, line {lines[-1] if lines else '?'}: {error}") from error
    return tee


def comparison(own: dict[int, tuple[float, float]], documented: list[list[float]], notes: list[str]) -> str:
    """A line about two logs; `notes` says what the check found to be otherwise than in the lesson."""
    pairs = [(own[int(step)], (train, val)) for step, train, val in documented if int(step) in own]
    if not pairs:
        return "Your log and the documented one have no step in common: was --steps given, or another preset?"
    last = f"yours ends at {pairs[-1][0][1]:.4f}, the documented log at {pairs[-1][1][1]:.4f}"
    furthest = max(abs(a - b) for one, two in pairs for a, b in zip(one, two, strict=True))
    some = f"{len(pairs)} of {len(documented)} lines" if len(pairs) < len(documented) else "all lines"
    if furthest < 1e-9:
        return f"Compared with the documented log: {some} are the same, digit for digit."
    if furthest <= ROUNDING:
        return f"Compared with the documented log: {some} agree within rounding."
    if furthest <= NEAR:
        return f"Compared with the documented log: {some} agree within {furthest:.4f}; {last}."
    if notes:
        return f"Compared with the documented log: other numbers, as the check foretold ({'; '.join(notes)}); {last}."
    if pairs[0][0] == pairs[0][1]:
        return (
            f"Compared with the documented log: the same at first, then others; {last}. Your initial weights are the "
            "documented ones, so it is the batches, the optimizer or the evaluation that differ."
        )
    return (
        f"Compared with the documented log: other numbers from the start; {last}. This need not be a mistake: "
        "parameters created in another order, or cut in another way, get other initial weights. Look at the last loss."
    )
