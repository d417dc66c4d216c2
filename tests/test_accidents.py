"""What people's accidents do: to runs that diverge, with signals and stray environments."""

import contextlib
import dataclasses
import math
import os
import re
import signal
import subprocess
import sys
import threading

import task07
import task08_infinite
from common import checkpoint, optim, precision, session, stream, train
from common.config import LAPTOP
from common.run import Interrupted, UserError
from common.run import run as run_script
from tests.lessons import CONFIG, ROOT, learn

import pytest
import torch


def test_a_run_that_diverges_stops_and_keeps_the_last_good_file(proverb, tmp_path):
    path = tmp_path / "run.pt"
    config = dataclasses.replace(CONFIG, optimizer="adamw", learning_rate=1e38, grad_clip=0.0, warmup=0.0, max_steps=40)
    with pytest.raises(UserError, match=r"the loss at step \d+ is not a finite number: the run diverged"):
        learn(proverb, config, save=path)
    if path.exists():
        assert all(value.isfinite().all() for value in checkpoint.load(path)["model"].values())


@pytest.mark.parametrize("temperature", ["0", "1e-40", "1e-6"])
def test_a_tiny_temperature_is_greedy(monkeypatch, temperature):
    monkeypatch.setattr(sys, "argv", ["task08_infinite.py", "--temperature", temperature])
    sampling = stream.parse_options("").sampling
    logits = stream.keep_likely(torch.tensor([[1.0, 3.0, 2.0]]), **sampling)
    assert task08_infinite.sample(logits, sampling["temperature"]).tolist() == [[1]]


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
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_signals_and_stray_environments(tmp_path):
    line = [sys.executable, "task01.py", "--steps", "5000"]
    environment = os.environ | {"RANK": "1", "WORLD_SIZE": "2"}
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline().startswith(b"Epoch 0: ")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, b"")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_kills_and_stops_at_random_moments(tmp_path):
    line = [sys.executable, "-m", "tools.saving", "--kills", "8", "--stops", "3"]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def test_outside_the_main_thread_a_script_runs_and_saves(proverb, tmp_path):
    """As in a notebook's thread, where no signal handler can be set."""
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run_script(lambda: learn(proverb, save=tmp_path / "run.pt"))))
    thread.start()
    thread.join(60)
    assert isinstance(ended[0], task07.GPT) and checkpoint.load(tmp_path / "run.pt")["step"] == 6


def test_too_little_memory_is_one_line(capsys):
    def ask():
        torch.empty(2**60, dtype=torch.uint8)

    with pytest.raises(SystemExit) as end:
        run_script(ask)
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

    monkeypatch.setattr(session, "start_tracking", tracker)
    learn(proverb, dataclasses.replace(CONFIG, eval_interval=2), track="tensorboard")
    assert [step for step, _ in noted] == [0, 2, 4, 5]
    names = {f"{split} {what}" for split in ("train", "val") for what in ("loss", "perplexity", "accuracy")}
    assert all(numbers.keys() == names | {"learning rate", "tokens per second"} for _, numbers in noted)
    assert noted[1][1]["val perplexity"] == pytest.approx(math.exp(noted[1][1]["val loss"]))
