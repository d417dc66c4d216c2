"""How runs go on and end: by themselves, by accidents, at Ctrl-C, in a pipe; and what they show on the way."""

import ast
import contextlib
import dataclasses
import math
import os
import re
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import common
import task07
from common import checkpoint, evaluate, files, optim, precision, session, stream, terminal, train
from common import progress as told
from common import run as ending
from common.config import LAPTOP
from common.data import Tokens
from common.run import Interrupted, UserError
from tests.lessons import CONFIG, ROOT, learn
from tests.test_terminal import Tty, posix, terminal_for

import pytest
import torch


def test_an_evaluation_counts_its_parts_on_the_line_of_the_run(line):
    text = Tokens({"train": torch.arange(90) % 3, "val": torch.arange(90) % 3}, 8)
    bigrams = torch.nn.Embedding.from_pretrained(torch.eye(3), freeze=False)
    for _ in told.training_steps(2):
        evaluate.score_split(bigrams, text, "val", at_once=2 * 8**2)
    assert line[0].startswith("Step 0/2 ") and line[1] == "Step 0/2: Evaluating 0 of 6"
    assert line[2].startswith("Step 0/2: Evaluating 1 of 6, ") and line[2].endswith(" left")
    assert any(each.startswith("Step 1/2 ━━━━━━━━━━──────────") and each.endswith("left") for each in line)
    line.clear()
    evaluate.score_split(bigrams, text, "val", at_once=2**20)
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
    line, pipe = [sys.executable, *(words or ["task01.py"])], subprocess.PIPE
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    how = {"env": environment, "stdout": pipe, "stderr": pipe, "start_new_session": True}
    return subprocess.Popen(line, cwd=ROOT, text=True, **how)


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
    held = PermissionError(13, "held")
    (tmp_path / "new").write_text("new")
    monkeypatch.setattr(files.os, "replace", replace := Mock(wraps=os.replace, side_effect=[held, held, DEFAULT]))
    files.replace(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new" and replace.call_count == 3
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    monkeypatch.setattr(files.os, "replace", Mock(side_effect=held))
    with pytest.raises(PermissionError):
        files.replace(tmp_path / "old", tmp_path / "older")


@pytest.mark.parametrize(
    "words", [["--resume", "old.pt", "--save", "my run.pt"], ["--save", "my run.pt", "--resume=old.pt"]]
)
def test_an_interruption_names_the_command_that_goes_on(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", ["task07.py", "--steps", "9", *words])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    said = session.going_on(Path("my run.pt"))
    assert said == ". To go on: python task07.py --steps 9 --save 'my run.pt' --resume 'my run.pt'"


def test_a_run_that_diverges_stops_and_keeps_the_last_good_file(proverb, tmp_path):
    path = tmp_path / "run.pt"
    config = dataclasses.replace(CONFIG, optimizer="adamw", learning_rate=1e38, grad_clip=0.0, warmup=0.0, max_steps=40)
    with pytest.raises(UserError, match=r"the loss at step \d+ is not a finite number: the run diverged"):
        learn(proverb, config, save=path)
    if path.exists():
        assert all(value.isfinite().all() for value in checkpoint.load(path)["model"].values())


def test_ctrl_c_in_the_last_save_ends_the_run_saved(proverb, tmp_path, monkeypatch):
    real = checkpoint.save

    def interrupted(path, state):
        real(path, state)
        if state["step"] == 6:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(Interrupted, match="after step 5 of 6, saved to"):
        learn(proverb, save=tmp_path / "run.pt")
    assert checkpoint.load(tmp_path / "run.pt")["step"] == 6


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_in_an_evaluation_is_answered_at_once(proverb, tmp_path, monkeypatch, times):
    said = []
    real = train.evaluate

    def evaluate(*arguments):
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
            assert any("Stopping after this step, to save" in text for text in said)
        return real(*arguments)

    monkeypatch.setattr(session, "hint", said.append)
    monkeypatch.setattr(train, "evaluate", evaluate)
    with pytest.raises(Interrupted if times == 1 else KeyboardInterrupt):
        learn(proverb, save=tmp_path / "run.pt")
    assert (tmp_path / "run.pt").exists() == (times == 1)


@pytest.mark.parametrize("steps", [10, 30, 100, 1200])
def test_a_short_run_still_rises_to_the_peak_and_falls(steps):
    config = dataclasses.replace(task07.Config(), **LAPTOP | {"max_steps": steps})
    rates = [optim.get_lr(step, config) for step in range(steps)]
    assert max(rates) == 1.0 and rates[-1] < 0.15


@pytest.mark.slow
@posix
def test_signals_and_stray_environments(tmp_path):
    line = [sys.executable, "task01.py", "--steps", "5000"]
    environment = os.environ | {"RANK": "1", "WORLD_SIZE": "2"}
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline().startswith(b"Epoch 0: ")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, b"")


@pytest.mark.slow
@posix
def test_kills_and_stops_at_random_moments(tmp_path):
    line = [sys.executable, "-m", "tools.saving", "--kills", "8", "--stops", "3"]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def test_outside_the_main_thread_a_script_runs_and_saves(proverb, tmp_path):
    """As in a notebook's thread, where no signal handler can be set."""
    ended = []
    thread = threading.Thread(target=lambda: ended.append(ending.run(lambda: learn(proverb, save=tmp_path / "run.pt"))))
    thread.start()
    thread.join(60)
    assert isinstance(ended[0], task07.GPT) and checkpoint.load(tmp_path / "run.pt")["step"] == 6


def test_too_little_memory_is_one_line(capsys):
    with pytest.raises(SystemExit) as end:
        ending.run(lambda: torch.empty(2**60, dtype=torch.uint8))
    assert end.value.code == 1
    expected = r".*: too little memory .*: 1,152,921,504,607 MB more were asked for\n"
    assert re.fullmatch(expected, capsys.readouterr().err)


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_bfloat16_is_used_where_the_device_can(monkeypatch, device, able):
    asked = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able == (device == "cpu")})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able == (device == "cuda"))
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: able == (device == "mps"))
    monkeypatch.setattr(torch, "autocast", lambda device, dtype, enabled: asked.update({device: (dtype, enabled)}))
    precision.low_precision(torch.device(device))
    assert asked == {device: (torch.bfloat16, able)}


def test_a_processor_that_is_kept_to_avx2_multiplies_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    for kept, dtype in (("AVX512", torch.bfloat16), ("AVX2", torch.float32)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda kept=kept: kept)
        assert precision.product_dtype(torch.device("cpu")) == dtype


def test_what_is_tracked_has_a_number_for_each_curve(proverb, monkeypatch):
    noted = []

    @contextlib.contextmanager
    def tracker(kind, name, settings):
        assert (kind, name, settings["n_embd"]) == ("tensorboard", "task07 seed 42", 24)
        yield lambda step, numbers: noted.append((step, numbers))

    monkeypatch.setattr(session.track, "run", tracker)
    learn(proverb, dataclasses.replace(CONFIG, eval_interval=2), track="tensorboard")
    assert [step for step, _ in noted] == [0, 2, 4, 5]
    names = {f"{split} {what}" for split in ("train", "val") for what in ("loss", "perplexity", "accuracy")}
    assert all(numbers.keys() == names | {"learning rate", "tokens per second"} for _, numbers in noted)
    assert noted[1][1]["val perplexity"] == pytest.approx(math.exp(noted[1][1]["val loss"]))
