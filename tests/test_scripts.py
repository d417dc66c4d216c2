"""The scripts as their user meets them: flags, stdout, stderr, exit codes, Ctrl-C, closed pipes."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from common.exits import UserError
from tests.lessons import DOCUMENTED, ROOT, TASKS, load, parse_log

FIRST = "task01"


def command(*arguments):
    return [sys.executable, str(ROOT / f"{FIRST}.py"), *map(str, arguments)]


def run(*arguments, cwd=ROOT, **options):
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=100, **options)


def call_main(monkeypatch, name, *arguments):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    load(name).main()


@pytest.mark.parametrize("name", TASKS)
def test_the_first_line_is_the_documented_one(monkeypatch, capsys, name):
    call_main(monkeypatch, name, "--epochs", 1, "--device", "cpu")
    out, err = capsys.readouterr()
    assert parse_log(out) == [DOCUMENTED[name][0]]
    log, sample = out.split("\nSampling 500 tokens from a trained model: \n")
    assert log.endswith("\n") and log.count("\n") == 1
    assert len(sample) == 501 and sample[-1] == "\n"
    assert err == ""


def test_only_task_6_and_later_log_the_last_epoch(monkeypatch, capsys):
    for name in TASKS:
        call_main(monkeypatch, name, "--epochs", 3, "--device", "cpu")
        epochs = [line[0] for line in parse_log(capsys.readouterr().out)]
        assert epochs == ([0, 2] if name >= "task06" else [0])


def test_a_seed_draws_another_run(monkeypatch, capsys):
    outs = []
    for seed in (42, 7, 7):
        call_main(monkeypatch, FIRST, "--epochs", 2, "--seed", seed, "--device", "cpu")
        outs.append(capsys.readouterr().out)
    assert outs[0] != outs[1] == outs[2]


def test_a_run_leaves_stderr_empty_and_needs_no_particular_folder(tmp_path):
    result = run("--epochs", 2, cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr == ""
    assert len(parse_log(result.stdout)) == 1


def test_the_users_own_text(tmp_path):
    text = tmp_path / "own.txt"
    text.write_text("Grüße, ξένε!\r\n" * 20, encoding="utf-8")
    result = run("--epochs", 3, "--data", text, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0, result.stderr
    assert "\\x" in result.stdout  # what the terminal's encoding lacks is spelled out, not fatal


def test_help_explains_every_flag():
    result = run("--help")
    assert result.returncode == 0 and result.stderr == ""
    for flag in ("--epochs", "--seed", "--device", "--data"):
        assert flag in result.stdout
    assert load(FIRST).__doc__.strip().split("\n")[0] in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "argument --epochs: expected a whole number of at least 1, got '0'"),
        (["--epochs", "-5"], "argument --epochs: expected a whole number of at least 1, got '-5'"),
        (["--epochs", "ten"], "argument --epochs: expected a whole number of at least 1, got 'ten'"),
        (["--seed", "-1"], "argument --seed: expected a whole number of at least 0, got '-1'"),
        (["--device", "abacus"], "argument --device: expected auto, cuda, mps or cpu, got 'abacus'"),
        (["--epoch", "5"], "unrecognized arguments: --epoch 5"),
        (["--data", "none.txt"], "none.txt: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(monkeypatch, arguments, message):
    with pytest.raises(UserError) as error:
        call_main(monkeypatch, FIRST, *arguments)
    assert str(error.value).removesuffix(" (see --help)") == message
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"this machine has no '{device}' that PyTorch can use"):
        call_main(monkeypatch, FIRST, "--device", device)


def test_bad_input_ends_with_exit_code_2_and_no_traceback():
    result = run("--data", "none.txt")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == "task01.py: none.txt: No such file or directory\n"


def test_a_closed_pipe_ends_quietly():
    process = subprocess.Popen(command("--epochs", 100_000), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == b""


def interrupt(process):
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


@pytest.mark.skipif(os.name == "nt", reason="signals are sent the POSIX way")
@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.9])
def test_ctrl_c_while_loading(seconds):
    process = subprocess.Popen(command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    time.sleep(seconds)
    code, err = interrupt(process)
    assert code == 130
    assert err in ("task01.py: Interrupted before the first epoch.\n", "task01.py: Interrupted at epoch 0 of 5000.\n")


@pytest.mark.skipif(os.name == "nt", reason="signals are sent the POSIX way")
def test_ctrl_c_while_training_says_how_far_it_got():
    process = subprocess.Popen(command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    process.stdout.readline()
    time.sleep(0.5)
    code, err = interrupt(process)
    assert code == 130
    assert err.startswith("task01.py: Interrupted at epoch ") and err.endswith(" of 5000.\n")
    assert err.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_terminal_shows_progress_and_a_pipe_gets_only_the_log(tmp_path):
    import pty

    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        command("--epochs", 1500), stdout=subprocess.PIPE, stderr=secondary, cwd=ROOT,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(secondary)
    seen = b""
    while chunk := _read(primary):
        seen += chunk
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(parse_log(out.decode())) == 3
    assert b"epochs/s" in seen and b"left" in seen and b"1500/1500" in seen
    assert b"avg train loss" not in seen
    assert seen.rstrip().endswith(b"\x1b[?25h") or seen.count(b"\x1b[?25l") == seen.count(b"\x1b[?25h")


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says EIO when the last writer has left
        return b""
