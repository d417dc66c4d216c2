"""The scripts as their user meets them: flags, stdout, stderr, exit codes, Ctrl-C, closed pipes."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
from importlib import import_module as load

import task01
import task08_infinite
from check.command import draw_attention
from common import stream
from common.checkpoint import load as load_checkpoint
from common.options import parse_options
from common.run import UserError
from studies.setup import load_any
from tests.lessons import CORE, DOCUMENTED, ROOT, launch, parse_log

import pytest
import torch

FIRST = "task01"


def command(*arguments):
    return [sys.executable, str(ROOT / f"{FIRST}.py"), *map(str, arguments)]


def run(*arguments, cwd=ROOT, **options):
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=100, **options)


@pytest.mark.parametrize("name", CORE)
def test_stdout_is_the_documented_log_and_a_sample(printed, name):
    out = printed(load(name), "--steps", 3, "--device", "cpu")
    lines = parse_log(out)
    assert lines[0] == DOCUMENTED[name][0]
    assert [line[0] for line in lines] == [0, 2]  # not the documented number of steps: the last one, too
    log, sample = out.split("\nSampling 500 tokens from a trained model: \n")
    assert log.endswith("\n") and log.count("\n") == len(lines)
    assert len(sample) == 501 and sample[-1] == "\n"


@pytest.mark.parametrize(("steps", "last"), [([], None), (["--steps", "5000"], None), (["--steps", "4999"], 4998)])
def test_the_last_line_is_logged_unless_the_documented_log_lacks_it(monkeypatch, steps, last):
    monkeypatch.setattr(sys, "argv", ["task01.py", *steps])
    assert parse_options("", load(FIRST).Config).last_step == last


@pytest.mark.parametrize("name", CORE)
def test_saved_weights_are_the_model_s_that_main_leaves(monkeypatch, capsys, call, printed, tmp_path, name):
    place = tmp_path / "run.pt"
    model = launch(monkeypatch, load(name), "--steps", 2, "--device", "cpu", "--save", place)
    loaded, config, vocabulary, state = load_any(place)
    assert config == dataclasses.replace(load(name).Config(), max_steps=2)
    assert len(vocabulary) == 65 and state["model_name"] == name
    for one, other in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    capsys.readouterr()
    assert "head 1 of" in printed(draw_attention, name, ROOT / f"{name}.py", "--weights", place)
    with pytest.raises(UserError, match=r"run\.pt: a checkpoint is there already; remove it, or save elsewhere"):
        call(load(name), "--save", place)


def test_the_first_lessons_import_nothing_of_later_ones():
    later = ("common.checkpoint", "common.parallel", "common.track", "common.session", "common.train")
    code = f"import sys, task01, task06; print([name for name in {later} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "[]\n"


def test_a_seed_draws_another_run(printed):
    one, other = (printed(task01, "--steps", 1, "--seed", 7, "--device", "cpu") for _ in range(2))
    assert one == other and parse_log(one) != [DOCUMENTED[FIRST][0]]  # that of seed 42


@pytest.mark.slow
def test_a_run_leaves_stderr_empty_wherever_it_runs_and_whatever_the_text(tmp_path):
    text = tmp_path / "own.txt"
    text.write_bytes("Grüße, ξένε!\r\n".encode() * 20)
    result = run("--steps", 2, "--data", text, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (result.returncode, result.stderr) == (0, "")
    assert [line[0] for line in parse_log(result.stdout)] == [0, 1]
    assert "\\x" in result.stdout  # what the terminal's encoding lacks is spelled out, not fatal


@pytest.mark.slow
def test_every_command_says_nothing_on_stderr_when_asked_for_help():
    """Also without NumPy, whose absence PyTorch would tell unless `common` comes first."""
    files = [path for folder in ("benchmarks", "studies", "tools") for path in ROOT.glob(f"{folder}/**/*.py")]
    commands = [path for path in files if re.search(r"(?s)Parser\(.*__main__", path.read_text(encoding="utf-8"))]
    assert len(commands) > 15
    for path in commands:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        result = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert (result.returncode, result.stderr) == (0, ""), module


def test_help_explains_every_flag(printed):
    out = printed(task01, "--help")
    assert all(flag in out for flag in ("--steps", "--seed", "--device", "--data", "--threads"))
    assert task01.__doc__.strip() in out


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--steps", "0", "argument --steps/--epochs: expected a whole number from 1 to 1000000000, got '0'"),
        (*("--steps", "9" * 30),
         f"argument --steps/--epochs: expected a whole number from 1 to 1000000000, got '{'9' * 20}…'"),
        ("--threads", "99999", f"argument --threads: expected a whole number from 1 to {os.cpu_count()}, got '99999'"),
        ("--data", "", "argument --data: expected a path, got ''"),
        ("--seed", "-1", "argument --seed: expected a whole number from 0 to 4294967295, got '-1'"),
        ("--device", "abacus", "argument --device: expected auto, cuda, mps or cpu, got 'abacus'"),
        ("--step", "5", "unrecognized arguments: --step 5; did you mean --steps?"),
        ("--data", "none.txt", "none.txt: No such file or directory"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(call, flag, value, message):
    with pytest.raises(UserError) as error:
        call(task01, flag, value)
    assert str(error.value).removesuffix(" (see --help)") == message


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, call, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"this machine has no '{device}' that PyTorch can use"):
        call(task01, "--device", device)


def test_bad_input_ends_with_exit_code_2_and_no_traceback():
    result = run("--data", "none.txt")
    said = "task01.py: none.txt: No such file or directory\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", said)


def start(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT} | options
    return subprocess.Popen(command(*arguments), **options)


def slow_on_posix(test):
    """Mark a test of signals and terminals."""
    return pytest.mark.slow(pytest.mark.skipif(os.name == "nt", reason="as POSIX has them")(test))


@slow_on_posix
def test_ctrl_c_while_training_says_how_far_it_got():
    with start() as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert re.fullmatch(rb"task01\.py: Interrupted at step \d+ of 5000\.\n", err)


class Terminal:
    """A script run with its stderr (and stdout, if wanted) on a pseudo-terminal."""

    def __init__(self, *arguments, stdout_too=False, columns=100):
        import pty

        self.primary, secondary = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "COLUMNS": str(columns)}
        stdout = secondary if stdout_too else subprocess.PIPE
        self.process = start(*arguments, stdout=stdout, stderr=secondary, env=environment)
        os.close(secondary)
        self.shown = b""

    def read_until(self, text):
        while text not in self.shown:
            self.shown += os.read(self.primary, 4096)

    def read_all(self):
        try:
            while chunk := os.read(self.primary, 4096):
                self.shown += chunk
        except OSError:  # Linux says EIO when the last writer has left
            pass
        os.close(self.primary)
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out


@slow_on_posix
def test_a_terminal_shows_progress_and_a_pipe_gets_only_the_log():
    terminal = Terminal("--steps", 20)
    code, out = terminal.read_all()
    assert code == 0
    assert [line[0] for line in parse_log(out.decode())] == [0, 19]
    assert b"steps/s" in terminal.shown and b"left" in terminal.shown and b"20/20" in terminal.shown
    assert b"avg train loss" not in terminal.shown
    assert b"\x1b[?25l" not in terminal.shown  # its cursor is there


@slow_on_posix
@pytest.mark.parametrize(
    ("moment", "steps"), [(b"Step", 5000), (b"Epoch 0: ", 5000), (b"20/20", 20), (b"Sampling", 20)]
)
def test_ctrl_c_on_a_terminal_gives_it_back_as_it_was(moment, steps):
    terminal = Terminal("--steps", steps, stdout_too=True, columns=40)
    terminal.read_until(moment)
    terminal.process.send_signal(signal.SIGINT)
    code, _ = terminal.read_all()
    assert code == 130
    assert b"task01.py: Interrupted " in terminal.shown and b"Traceback" not in terminal.shown
    assert b"\x1b[?25l" not in terminal.shown  # its cursor is there


@slow_on_posix
def test_closed_and_full_streams_do_not_hide_the_result():
    def shell(line):
        line = line.replace("TASK", f"{sys.executable} {FIRST}.py")
        return subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)

    closed = shell("TASK --steps 1 2>&-")
    assert closed.returncode == 0 and len(parse_log(closed.stdout)) == 1
    if os.path.exists("/dev/full"):
        assert shell("TASK --steps 0 2>/dev/full").returncode == 2
        full = shell("TASK --steps 1 >/dev/full")
        assert (full.returncode, full.stderr) == (1, "task01.py: [Errno 28] No space left on device\n")
    odd = shell("TASK --data \"$(printf 'na\\nme')\"")
    assert (odd.returncode, odd.stderr) == (2, "task01.py: na\\nme: No such file or directory\n")


@slow_on_posix
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_before_a_long_run_ends(tmp_path, stop):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 70)
    flags = ["--data", text, "--steps", "1000", "--threads", "1", "--preset", "laptop", "--save", tmp_path / "run.pt"]
    line = [sys.executable, str(ROOT / "task07.py"), *map(str, flags)]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("Epoch 0: ")
        process.send_signal(stop)
        _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert err.startswith("task07.py: Interrupted after step ") and err.count("\n") == 1
    assert f"saved to {tmp_path / 'run.pt'}. To go on: python " in err and err.endswith(f"--resume {tmp_path}/run.pt\n")
    assert load_checkpoint(tmp_path / "run.pt")["step"] >= 1


# Task 8, with tiny weights.

with_tiny_weights = pytest.mark.usefixtures("tiny_weights")


@with_tiny_weights
def test_a_seed_writes_the_same_text_again_after_the_prompt(printed):
    flags = ("--tokens", 20, "--prompt", "ROMEO:", "--seed")
    one, same, other = (printed(task08_infinite, *flags, n) for n in (1, 1, 2**32 - 1))
    assert one == same != other
    assert one.startswith("ROMEO:") and len(one) == len("ROMEO:") + 20 + 1
    assert printed(task08_infinite, "--tokens", 0, "--prompt", "O") == "O\n"


@with_tiny_weights
def test_speed_waits_and_temperature_0_is_the_likeliest(monkeypatch, printed):
    waited = []
    monkeypatch.setattr(stream.time, "sleep", waited.append)
    printed(task08_infinite, "--tokens", 4, "--speed", 0.1)
    assert waited == pytest.approx([0, 10, 20, 30], abs=3)
    flags = ("--tokens", 30, "--seed")
    likeliest = (0, 1e-40, 1e-7)
    assert len({printed(task08_infinite, *flags, n, "--temperature", t) for t in likeliest for n in (1, 2)}) == 1


@with_tiny_weights
@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--prompt", "naïve", "argument --prompt: the model knows no 'ï'; it knows"),
        ("--temperature", "nan", "argument --temperature: expected a number from 0 to 100, got 'nan'"),
        ("--top-p", "1.5", "argument --top-p: expected a number from 0 to 1, got '1.5'"),
        ("--top-k", "-3", "argument --top-k: expected a whole number from 0 to"),
        ("--speed", "0", "argument --speed: expected a number from 0.1 to"),
        ("--weights", ROOT / "README.md", f"{ROOT}/README.md: not a checkpoint"),
    ],
)
def test_bad_input_to_task_8_is_one_line(call, flag, value, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        call(task08_infinite, "--tokens", 1, flag, value)


@slow_on_posix
def test_ctrl_c_ends_endless_text_with_its_line_and_a_reader_that_leaves_ends_it_quietly(tiny_weights):
    command = [sys.executable, str(ROOT / "task08_infinite.py"), "--weights", str(tiny_weights)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "--speed", "50"], **pipes) as process:
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert first and out.endswith(b"\n")
    assert (process.returncode, err) == (0, b"")
    line = f"{' '.join(command)} | head -c 1000; echo ${{PIPESTATUS[0]}} >&2"
    result = subprocess.run(["bash", "-c", line], capture_output=True, timeout=100)
    assert len(result.stdout) == 1000 and result.stderr == b"0\n"
