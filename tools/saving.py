"""Kill and stop small runs at random moments, and test what they left: python -m tools.saving --kills 200 --stops 50

A kill (SIGKILL) hits a run that saves at every step. After each, the file must be whole and contain the newest complete
save, and after the next save no temporary file may be left. A stop (SIGINT, SIGTERM, SIGHUP or SIGKILL) hits
a run of task 7 (dropout, two batches a step), task 9 (Muon) or the speedrun (short windows). The run is resumed until
it ends. All the lines that it printed, and its last checkpoint, must be those of a run without stops.
"""

import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from functools import partial
from pathlib import Path

import task07
import task09_rope
from common import checkpoint, options
from common.config import LAPTOP
from common.parser import Parser, whole_number
from common.run import run
from record import speedrun

import torch
import torch._dynamo  # what the first step imports: before the runs are forked

TEXT = "To be, or not to be, that is the question:\n" * 25
SIZES_OF_A_SECOND = {"batch_size": 4, "block_size": 16, "n_embd": 24, "n_head": 3, "n_layer": 2, "dropout": 0.1}
SMALL = LAPTOP | SIZES_OF_A_SECOND | {"max_steps": 40, "eval_interval": 1, "eval_batches": 2, "whole_split": False}
SCRIPTS = [
    (task07, SMALL | {"accumulate": 2, "optimizer": "adamw"}),
    (task09_rope, SMALL),
    (speedrun, speedrun.PRESETS["hour"] | SMALL | {"first_window": 4}),
]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]


def start(script, preset, folder: Path) -> int:
    """Fork a run of a script that saves at every step, and goes on from run.pt where that is; its process number."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    for number, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    save = checkpoint.save

    def save_and_tell(path, state):
        save(path, state)
        with open(folder / "completed.txt", "a") as file:
            file.write(f"{state['step']}\n")

    checkpoint.save = save_and_tell
    script.parse_options = partial(_parse, preset)
    text, run_file = str(folder / "text.txt"), folder / "run.pt"
    sys.argv = [f"{script.__name__}.py", "--device", "cpu", "--threads", "1", "--data", text]
    sys.argv += ["--save", str(run_file), "--save-every", "1", *(["--resume", str(run_file)] * run_file.exists())]
    status = 1
    try:
        run(script.main)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(status)


def _parse(preset, description, config, presets=None, add_flags=None):
    return options.parse_options(description, config, {"laptop": preset}, add_flags)


def stop(child: int, number: int) -> None:
    """Send a run a signal, and wait until it has ended."""
    os.kill(child, number)
    os.waitpid(child, 0)


def endless(folder: Path) -> int:
    """Start the first script, without an end."""
    script, preset = SCRIPTS[0]
    return start(script, preset | {"max_steps": 10**6}, folder)


def kill(folder: Path) -> str:
    """One kill, within a second; what was wrong afterwards, or nothing."""
    path = folder / "run.pt"
    child = endless(folder)
    time.sleep(random.uniform(0, 1))
    stop(child, signal.SIGKILL)
    saves = completed(folder)
    if not saves and not path.exists():
        return ""
    newest = saves[-1] if saves else 0
    try:
        step = checkpoint.load(path)["step"]
    except checkpoint.UserError as error:
        return f"not whole: {error}"
    return "" if step in (newest, newest + 1) else f"step {step} instead of {newest}"


def leftovers(folder: Path) -> list[str]:
    """What one more start and one more save leave next to the checkpoint."""
    before = len(completed(folder))
    child = endless(folder)
    while len(completed(folder)) == before:
        time.sleep(0.01)
    stop(child, signal.SIGINT)
    return sorted(file.name for file in folder.glob(".*"))


def completed(folder: Path) -> list[int]:
    """The steps of the saves that were completed."""
    path = folder / "completed.txt"
    return [int(step) for step in path.read_text().split()] if path.exists() else []


def finish(script, preset, folder: Path) -> None:
    """Run a script from where it is to its end."""
    _, status = os.waitpid(start(script, preset, folder), 0)
    assert status == 0, (folder / "err.txt").read_text()


def same(one, other) -> bool:
    """Whether two checkpoints' parts are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def lines(folder: Path) -> dict[str, set[str]]:
    """Start of a line of the log → all its versions."""
    found: dict[str, set[str]] = {}
    for line in (folder / "out.txt").read_text().split("\n\nSampling")[0].splitlines():
        found.setdefault(line.split(":")[0], set()).add(line)
    return found


def stops(script, preset, folder: Path, count: int, total_seconds: float) -> Counter[str]:
    """Stop and resume one run that many times at random moments, unless it ends before; how often, by signal."""
    by = Counter[str]()
    for _ in range(count):
        child = start(script, preset, folder)
        number = random.choice(SIGNALS)
        time.sleep(random.uniform(0, total_seconds / count * 1.5))
        if os.waitpid(child, os.WNOHANG)[0]:
            break  # it had ended
        stop(child, number)
        by[number.name] += 1
    return by


def make(folder: Path) -> Path:
    folder.mkdir()
    (folder / "text.txt").write_text(TEXT)
    return folder


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--kills", type=whole_number(0), default=200, metavar="N")
    parser.add_argument("--stops", type=whole_number(0), default=50, metavar="N")
    parser.add_argument("--seed", type=whole_number(0), default=1, metavar="N")
    flags = parser.parse_args()
    random.seed(flags.seed)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        folder = make(home / "kills")
        temporary, wrong = 0, list[str]()
        for _ in range(flags.kills):
            wrong += filter(None, [kill(folder)])
            temporary += len(list(folder.glob(".*")))
        after, saves = leftovers(folder), len(completed(folder))
        print(f"{flags.kills} kills, {saves} saves completed: {len(wrong)} files not whole or not the newest")
        print(f"temporary files: {temporary} kills left one, and {len(after)} were there after the next save")
        failed = bool(wrong or after)
        for number, (script, preset) in enumerate(SCRIPTS):
            share = flags.stops // 3 + (number < flags.stops % 3)
            reference = make(home / f"reference {number}")
            began = time.monotonic()
            finish(script, preset, reference)
            seconds = time.monotonic() - began
            expected = checkpoint.load(reference / "run.pt")
            by, runs, unequal = Counter[str](), 0, 0
            while by.total() < share:
                folder = make(home / f"stopped {number} {runs}")
                by += stops(script, preset, folder, min(5, share - by.total()), seconds)
                path = folder / "run.pt"
                if not path.exists() or checkpoint.load(path)["step"] < preset["max_steps"]:
                    finish(script, preset, folder)
                runs += 1
                unequal += not same(expected, checkpoint.load(path)) or lines(reference) != lines(folder)
            said = ", ".join(f"{count} {name}" for name, count in sorted(by.items()))
            stopped = f"{by.total()} stops of {runs} runs ({said})"
            print(f"{script.__name__}: {stopped}: {unequal} runs not bit for bit the same")
            failed |= bool(unequal)
    sys.exit(failed)


if __name__ == "__main__":
    run(main)
