"""Two processes that torchrun starts learn what one does, and outlive the death of one."""

import os
import subprocess
import sys

from common import checkpoint
from tests.lessons import ROOT, TEXT, parse_log

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="gloo and signals as on POSIX")]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT)
    return path


def start(text, *flags, processes=1, **environment):
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "--max-restarts=1"]
    command = [sys.executable, *(torchrun if processes > 1 else []), "-m", "tests.small_task07", "--device", "cpu"]
    how = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 300, "env": os.environ | environment}
    return subprocess.run([*command, "--data", str(text), *flags], **how)


def run(*arguments, **options):
    result = start(*arguments, **options)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def alone(text):
    return parse_log(run(text, "--threads", "1").replace("\nFinal", "\n\nFinal"))


def assert_close(log, expected):
    assert [line[0] for line in log] == [line[0] for line in expected]
    for line, other in zip(log, expected, strict=True):
        assert line[1:] == pytest.approx(other[1:], abs=1e-3)


def test_two_processes_learn_what_one_does(text, alone):
    out = run(text, processes=2)
    assert out.count("Epoch 0:") == 1 and out.count("Sampling") == 1
    log = parse_log(out.replace("\nFinal", "\n\nFinal"))
    assert log[-1][0] == 20
    assert_close(log, alone)


def test_a_run_outlives_the_death_of_one_process(text, alone, tmp_path):
    out = run(text, "--save", str(tmp_path / "run.pt"), "--save-every", "4", processes=2, DIE_AT="14")
    lines = out.replace("\nFinal", "\n\nFinal").split("\n")
    before = lines.index(next(line for line in lines if line.startswith("Epoch 15")))
    assert [line.split(":")[0] for line in lines[:before]] == ["Epoch 0", "Epoch 5", "Epoch 10"]
    assert_close(parse_log("\n".join(lines[before:])), alone[-2:])
    assert checkpoint.load(tmp_path / "run.pt")["step"] == 21


def test_an_error_is_the_same_line_as_alone(text):
    for arguments, processes in (((text.with_name("none.txt"),), 2), ((text,), 3)):
        result = start(*arguments, processes=processes)
        lines = {line for line in result.stderr.split("\n") if line.startswith("small_task07.py: ")}
        assert result.returncode and len(lines) == 1  # at the start, and again at torchrun's restart
        expected = "No such file or directory" if processes == 2 else "a batch of 16 does not divide among 3 processes"
        assert lines.pop().endswith(expected)


def test_a_restart_never_goes_on_with_another_run(text, tmp_path):
    new, old = tmp_path / "new.pt", tmp_path / "old.pt"
    run(text, "--steps", "6", "--save", str(new), processes=2)
    run(text, "--save", str(old), processes=2)
    result = start(text, "--resume", str(new), "--save", str(old), processes=2)
    assert result.returncode and "a checkpoint is there already" in result.stderr
    assert checkpoint.load(old)["step"] == 21
    old.unlink()
    # The second process dies before the first save that is due: the restart finds the one of the start.
    flags = ["--steps", "21", "--resume", str(new), "--save", str(old), "--save-every", "100"]
    result = start(text, *flags, processes=2, DIE_AT="6")
    assert "Resumed" not in result.stdout and result.stdout.count("Sampling") == 1
    assert checkpoint.load(old)["step"] == 21
