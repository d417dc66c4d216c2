"""What the tests know of the nine lessons: their files, the logs that the course documents, files to hand in."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

from common.config import LAPTOP
from exercises import build
from tools.styles import in_styles

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "logs"
DOCUMENTED = json.loads((LOGS / "documented.json").read_text())
TASKS = sorted(path.stem for path in ROOT.glob("task0*.py"))
CORE = [name for name in TASKS if name <= "task06"]  # those whose documented runs a test repeats

# A text and a preset for runs of a second.
TEXT = "To be, or not to be, that is the question:\n" * 25
SMALL = LAPTOP | {
    "batch_size": 4,
    "block_size": 16,
    "n_embd": 24,
    "n_head": 3,
    "n_layer": 2,
    "max_steps": 6,
    "eval_interval": 100,
    "whole_split": False,
    "eval_batches": 1,
}

LINE = re.compile(r"Epoch (\d+): avg train loss (\d+\.\d{4}) \| avg val loss (\d+\.\d{4})")


def load(name):
    """The module of a task; importing it trains nothing."""
    return importlib.import_module(name)


def parse_log(text):
    """The documented part of a run's stdout → [epoch, train loss, val loss] a line."""
    head, blank, _ = text.partition("\n\n")
    assert blank, f"no blank line after the log:\n{text}"
    matches = [LINE.fullmatch(line) for line in head.split("\n")]
    assert all(matches), f"not the documented format:\n{head}"
    return [[int(epoch), float(train), float(val)] for epoch, train, val in (match.groups() for match in matches)]


def full_run(name, threads):
    """stdout of the documented run, as a user starts it."""
    command = [sys.executable, f"{name}.py", "--device", "cpu", "--threads", str(threads)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return parse_log(result.stdout)


MINE = "# mine\n"


def right(task):
    """A right file that is not the official one."""
    return in_styles(task, build.source(task))["renamed"]


def hand_in(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
