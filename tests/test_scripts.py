"""The scripts as their user meets them: flags, stdout, stderr, exit codes, Ctrl-C, closed pipes."""

import os
import re
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
def test_stdout_is_the_documented_log_and_a_sample(monkeypatch, capsys, name):
    call_main(monkeypatch, name, "--epochs", 3, "--device", "cpu")
    out, err = capsys.readouterr()
    lines = parse_log(out)
    assert lines[0] == DOCUMENTED[name][0]
    assert [line[0] for line in lines] == ([0, 2] if name >= "task06" else [0])  # the last epoch: from task 6
    log, sample = out.split("\nSampling 500 tokens from a trained model: \n")
    assert log.endswith("\n") and log.count("\n") == len(lines)
    assert len(sample) == 501 and sample[-1] == "\n"
    assert err == ""


def test_a_seed_draws_another_run(monkeypatch, capsys):
    outs = []
    for _ in range(2):
        call_main(monkeypatch, FIRST, "--epochs", 1, "--seed", 7, "--device", "cpu")
        outs.append(capsys.readouterr().out)
    assert outs[0] == outs[1]
    assert parse_log(outs[0]) != [DOCUMENTED[FIRST][0]]  # that of seed 42


def test_a_run_leaves_stderr_empty_wherever_it_runs_and_whatever_the_text(tmp_path):
    text = tmp_path / "own.txt"
    text.write_bytes("Grüße, ξένε!\r\n".encode() * 20)
    result = run("--epochs", 2, "--data", text, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0
    assert result.stderr == ""
    assert len(parse_log(result.stdout)) == 1
    assert "\\x" in result.stdout  # what the terminal's encoding lacks is spelled out, not fatal


def test_help_explains_every_flag(monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        call_main(monkeypatch, FIRST, "--help")
    out, err = capsys.readouterr()
    assert end.value.code == 0 and err == ""
    for flag in ("--epochs", "--seed", "--device", "--data", "--threads"):
        assert flag in out
    assert load(FIRST).__doc__.strip() in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "argument --epochs: expected a whole number of at least 1, got '0'"),
        (["--epochs", "-5"], "argument --epochs: expected a whole number of at least 1, got '-5'"),
        (["--epochs", "ten"], "argument --epochs: expected a whole number of at least 1, got 'ten'"),
        (["--threads", "0"], "argument --threads: expected a whole number of at least 1, got '0'"),
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


def start(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT} | options
    return subprocess.Popen(command(*arguments), **options)


@pytest.mark.slow
def test_a_closed_pipe_ends_quietly():
    with start("--epochs", 100_000) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


posix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals are the POSIX ones")


def interrupt(process):
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    return process.returncode, err.decode()


@posix
def test_ctrl_c_while_loading():
    with start() as process:
        time.sleep(0.4)
        assert interrupt(process) == (130, "task01.py: Interrupted before the first epoch.\n")


@posix
@pytest.mark.slow
def test_ctrl_c_while_training_says_how_far_it_got():
    with start() as process:
        process.stdout.readline()
        code, err = interrupt(process)
    assert code == 130
    assert re.fullmatch(r"task01\.py: Interrupted at epoch \d+ of 5000\.\n", err)


@posix
@pytest.mark.slow
def test_a_terminal_shows_progress_and_a_pipe_gets_only_the_log():
    import pty

    primary, secondary = pty.openpty()
    with start("--epochs", 20, stderr=secondary, env=os.environ | {"TERM": "xterm", "COLUMNS": "100"}) as process:
        os.close(secondary)
        shown = b""
        while chunk := _read(primary):
            shown += chunk
        out, _ = process.communicate(timeout=60)
    os.close(primary)
    assert process.returncode == 0
    assert len(parse_log(out.decode())) == 1
    assert b"epochs/s" in shown and b"left" in shown and b"20/20" in shown
    assert b"avg train loss" not in shown
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h")  # the cursor is back


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says EIO when the last writer has left
        return b""
