"""How runs end: by themselves, at Ctrl-C, in a pipe; and what they show on the way."""

import ast
import io
import os
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import common
from common import checkpoint, evaluate, files, session, stream, terminal
from common import progress as told
from common import run as ending
from common.data import Tokens
from tests.test_terminal import ROOT, Tty, posix, terminal_for

import pytest
import torch

# Progress.


class Bigrams(torch.nn.Module):
    def forward(self, tokens):
        return torch.nn.functional.one_hot(tokens, 3).float()


def test_an_evaluation_counts_its_parts_on_the_line_of_the_run(line):
    text = Tokens({"train": torch.arange(90) % 3, "val": torch.arange(90) % 3}, 8)
    for _ in told.training_steps(2):
        evaluate.score_split(Bigrams(), text, "val", at_once=2 * 8**2)
    assert line[0].startswith("Step 0/2 ") and line[1] == "Step 0/2: Evaluating 0 of 6"
    assert line[2].startswith("Step 0/2: Evaluating 1 of 6, ") and line[2].endswith(" left")
    assert any(each.startswith("Step 1/2 ━━━━━━━━━━──────────") and each.endswith("left") for each in line)
    line.clear()
    evaluate.score_split(Bigrams(), text, "val", at_once=2**20)
    assert line == []


def test_time_left_counts_from_the_first_step_and_slow_steps_are_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(told.time, "monotonic", lambda: now[0])
    clock = told.Clock(20, 0)
    clock.evaluated[0] = 540.0
    now[0], clock.step = 100.0 + 540.0 + 4.0, 1
    assert str(clock).endswith(" 4.0 s/step, 0:01:16 left")
    now[0], clock.step, clock.evaluated[10] = now[0] + 9 * 4.0 + 540.0, 10, 540.0
    assert clock.left() == pytest.approx(10 * 4.0 + 540.0)
    assert [told.speed(seconds, "step") for seconds in (0.002, 0.5)] == ["500 steps/s", "2.0 steps/s"]


@posix
def test_codes_are_for_terminals_that_know_them(monkeypatch):
    primary, secondary = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with open(secondary, "w") as real:
        assert terminal.has_codes(real) and not terminal.has_codes(Tty())  # as IDLE's: a terminal without a number
        monkeypatch.setenv("TERM", "dumb")
        assert terminal.is_terminal(real) and not terminal.has_codes(real)
    os.close(primary)


# Ends.


def test_task_8_ends_with_a_line_of_its_own(monkeypatch):
    tty = terminal_for(monkeypatch)

    def tokens():
        yield from (torch.tensor([[0]]), torch.tensor([[1]]))
        raise KeyboardInterrupt

    stream.write(tokens(), "ab", Namespace(prompt="x", speed=None, tokens=None))
    text, said = tty.getvalue().splitlines()
    assert text == "xab" and said.startswith("2 characters, ") and said.endswith(" characters/s")


def script(folder, torch_text, *words):
    """Task 1, or another command, where importing PyTorch runs this text."""
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(torch_text)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    line = [sys.executable, *(words or ["task01.py"])]
    return subprocess.Popen(
        line,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@posix
def test_ctrl_c_while_pytorch_is_imported_is_one_line(tmp_path):
    with script(tmp_path, "import time; print('here', flush=True); time.sleep(30)") as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "task01.py: Interrupted while PyTorch was imported.\n")


SWALLOWS = """
import os, time
try:
    if os.getpid() == os.getpgrp():  # the check, not the learner's process
        print("here", flush=True)
    time.sleep(1)
except BaseException:  # as PyTorch's import does
    pass
raise SystemExit("the signal was lost")
"""


@posix
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_check_loses_no_signal_to_pytorchs_import(stop, code, tmp_path):
    (tmp_path / "my_task01.py").write_text("MINE = 1\n")
    with script(tmp_path, SWALLOWS, "-m", "check", tmp_path / "my_task01.py") as process:
        assert process.stdout is not None and process.stdout.readline() == "here\n"
        process.send_signal(stop)
        _, err = process.communicate()
    assert process.returncode == code and "lost" not in err and "Traceback" not in err


def test_without_pytorch_it_is_one_line(tmp_path):
    process = script(tmp_path, "raise ModuleNotFoundError('No module named torch', name='torch')")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "task01.py: PyTorch is not installed: pip install -r requirements.txt\n"


def test_an_old_python_is_one_line(monkeypatch):
    text = Path(common.__file__).read_text()
    for lesson in ROOT.glob("task0*.py"):
        ast.parse(lesson.read_text(), feature_version=(3, 8))
    ast.parse(text, feature_version=(3, 4))
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or later, and this is Python 3\.9"):
        exec(text, {})


@posix
def test_an_ignored_signal_stays_ignored():
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ending.run(lambda: None)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
        with ending.stop_requests(lambda: None):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_two_signals_at_once_are_one(monkeypatch):
    now, heard = [0.0], []
    monkeypatch.setattr(ending.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(ending, "_last_signal", -9.0)
    for moment in (0.0, 0.1, 0.5, 9.0):
        now[0] = moment
        try:
            ending._terminate(signal.SIGINT, None)
        except KeyboardInterrupt:
            heard.append(moment)
    assert heard == [0.0, 9.0]


def test_a_file_that_a_scanner_holds_is_tried_again(tmp_path, monkeypatch):
    real, tries = os.replace, []

    def held(one, other):
        tries.append(one)
        if len(tries) < 3:
            raise PermissionError(13, "held")
        real(one, other)

    (tmp_path / "new").write_text("new")
    monkeypatch.setattr(files.os, "replace", held)
    files.replace(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new" and len(tries) == 3
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "held")))
    with pytest.raises(PermissionError):
        files.replace(tmp_path / "old", tmp_path / "older")


def test_a_full_disk_is_called_that(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "open", lambda place, how: Full(place, "x"), raising=False)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoint.save(tmp_path / "run.pt", {"n": torch.zeros(3)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["--resume", "old.pt", "--save", "my run.pt"], ["--save", "my run.pt", "--resume=old.pt"]]
)
def test_an_interruption_names_the_command_that_goes_on(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", ["task07.py", "--steps", "9", *words])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    said = session.going_on(Path("my run.pt"))
    assert said == ". To go on: python task07.py --steps 9 --save 'my run.pt' --resume 'my run.pt'"
