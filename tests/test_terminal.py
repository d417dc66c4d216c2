"""What a person at a terminal sees: its width, keys, progress, signals, and what to do next."""

import ast
import dataclasses
import io
import json
import os
import subprocess
import sys
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import task01
import task02
from check import __main__ as front
from check.command import check_file, draw_attention, run_file, start, watch
from check.command.state import State, following
from check.judge.result import Result
from check.judge.stages import seen
from common import options, terminal
from common import run as ending
from common.parser import Parser
from common.run import UserError
from exercises import build
from exercises.catalogue import EXERCISES
from tests.lessons import ROOT
from tools import walk

import pytest
import torch

posix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals are POSIX")


class Tty(io.StringIO):
    """A stream that a person reads, where no codes are understood."""

    def isatty(self):
        return True


def terminal_for(monkeypatch):
    """Stdout and stderr as one terminal, for the rest of the test."""
    both = Tty()
    monkeypatch.setattr(sys, "stdout", both)
    monkeypatch.setattr(sys, "stderr", both)
    return both


def fits(shown, width, words):
    """Whether no line is wider, and no word is cut."""
    assert max(map(len, shown.splitlines())) <= width
    assert shown.split() == words.split()


FAILURE = Result(
    "bidirectional",
    "fail",
    what="position 1 looks at the tokens that come after it, as an encoder's do",
    expected="every position depends on every other, in both directions, whatever the length of the text",
    got="the first one is blind",
    hint="Which axis is the softmax over, and is there a mask where the paper's encoder has none at all?",
    shapes={"weights": [3, 4, 7, 7], "values": [3, 4, 7, 6], "q": [3, 4, 7, 6], "k": [3, 4, 7, 6]},
)


@pytest.mark.parametrize("width", walk.WIDTHS)
def test_nothing_is_wider_than_the_terminal_and_no_word_is_cut(monkeypatch, width, desk):
    tty = terminal_for(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(width))
    for hints in [part for each in EXERCISES.values() for part in (each.hints, *each.of_stages.values())]:
        fits(terminal.wrapped("\n".join(hints), tty), width, " ".join(hints))
    for text in (*(each.__doc__ for each in (front, start, run_file, task01)), build.starter("task07").split('"""')[1]):
        fits(terminal.paragraphs(text, tty), width, text)
    check_file.show("encoder", iter([FAILURE]))
    monkeypatch.setenv("COLUMNS", "1000")
    shown, whole = tty.getvalue(), terminal_for(monkeypatch)
    check_file.show("encoder", iter([FAILURE]))
    fits(shown, width, whole.getvalue())
    first, second, *_ = shown.splitlines()
    assert first.startswith("✗ bidirectional  position") and second[:17] == " " * 17 and second[17:27] != " " * 10


@pytest.mark.parametrize("width", walk.WIDTHS)
def test_help_keeps_its_tables_and_its_words(monkeypatch, width):
    terminal_for(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(width))
    parser = Parser(prog="python -m check", description=front.__doc__)
    parser.add_argument("--weights", help="what `--save` of task 9 wrote, as weights/README.md has it: a long-ish one")
    shown = parser.format_help()
    assert max(map(len, shown.splitlines())) <= width
    assert "weights/README.md" in shown and "long-ish" in shown and "\n    python -m check start task03" in shown


def test_in_a_pipe_each_part_is_one_line(capsys):
    check_file.show("encoder", iter([FAILURE]))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["fail", "expected:", "got:", "shapes:", "hint:"]
    assert max(map(len, lines)) > 100


def test_a_narrow_table_drops_the_date_and_keeps_the_name(monkeypatch):
    row = ("task09_rope", "homework/my_task09.py", "passed", "2026-01-02 03:04")
    for width, has_date in ((50, False), (120, True)):
        tty = terminal_for(monkeypatch)
        monkeypatch.setenv("COLUMNS", str(width))
        check_file.table([("task", "file", "state", "checked"), row])
        assert "homework/my_task09.py" in tty.getvalue() and ("2026" in tty.getvalue()) == has_date


# Watching, looking, what comes next.


@pytest.fixture
def watched(desk, capsys):
    Path("my_schedule.py").write_text("x = 1\n")
    found = watch.Watch("schedule", Path("my_schedule.py"), Namespace(), None)
    assert capsys.readouterr().out == "Watching my_schedule.py: the check runs at every save.\n"
    return found


def test_keys_do_what_they_say_and_others_nothing(watched, capsys):
    for level in (1, 2, 3, 3):
        watched.press("h")
        assert capsys.readouterr().out.startswith(f"Hint {level}: ")
    watched.press("x")
    watched.press("")
    assert capsys.readouterr().out == "" and os.listdir() == sorted([".check.json", "my_schedule.py"])
    watched.press("n")
    assert capsys.readouterr().out == "No task follows schedule.\n"
    watched.press("c")
    assert "--- yours\n" in capsys.readouterr().out


def test_n_goes_on_with_the_next_task(desk, capsys):
    Path("my_task01.py").write_text("")
    found = watch.Watch("task01", Path("my_task01.py"), Namespace(), None)
    found.press("n")
    assert found.task == "task02" and Path("my_task02.py").read_text() == build.starter("task02")
    assert "Watching my_task02.py" in capsys.readouterr().out


def test_q_ends_it(desk, monkeypatch, capsys):
    Path("my_schedule.py").write_text("")
    keys = iter("hq")
    monkeypatch.setattr(watch, "_keys", lambda: nullcontext(True))
    monkeypatch.setattr(watch, "_pressed", lambda seconds: next(keys))
    watch.watch("schedule", Path("my_schedule.py"), Namespace())
    assert watch.KEYS in (out := capsys.readouterr().out) and "the file is empty" in out and "Hint 1: " in out


def test_keys_of_windows_come_through_msvcrt(desk, monkeypatch, capsys):
    """With a module in place of msvcrt; page up and down end with a letter, as the arrows of other terminals do."""
    Path("my_schedule.py").write_text("")
    typed = [*"x", "\xe0", "H", "\xe0", "Q", "\0", "R", *"Hq"]
    keys = Namespace(kbhit=lambda: True, getwch=lambda: typed.pop(0))
    monkeypatch.setitem(sys.modules, "msvcrt", keys)
    monkeypatch.setattr(watch, "os", Namespace(name="nt"))
    monkeypatch.setattr(watch.sys, "platform", "win32")
    monkeypatch.setattr(watch.sys, "stdin", Tty())
    monkeypatch.setattr(watch, "keyboard_without", lambda *_: nullcontext(False))
    ran = []
    monkeypatch.setattr(watch.Watch, "run", lambda self: ran.append(self))
    watch.watch("schedule", Path("my_schedule.py"), Namespace())
    assert typed == [] and ran == [] and capsys.readouterr().out.count("Hint ") == 1
    keys.kbhit = lambda: False
    assert watch._pressed(0.1) == ""


@posix
@pytest.mark.parametrize(
    ("typed", "keys"), [(b"\x1b[C", ["", ""]), (b"hq", ["h", "q"]), (b"\x1b", ["\x1b", ""]), ("ü".encode(), ["", ""])]
)
def test_keys_of_several_bytes_do_nothing(monkeypatch, typed, keys):
    ours, theirs = os.pipe()
    with os.fdopen(ours) as stdin, os.fdopen(theirs, "wb", buffering=0) as keyboard:
        monkeypatch.setattr(watch.sys, "stdin", stdin)
        keyboard.write(typed)
        pressed = [watch._pressed(0.1).replace("\x1b", "" if len(typed) > 1 else "\x1b") for _ in keys]
        assert pressed == keys
        keyboard.close()
        assert watch._pressed(0.1) == "q"


def test_heads_are_side_by_side_as_the_width_allows():
    panel = draw_attention.drawn("ab", torch.tensor([[1.0, 0.0], [0.5, 0.5]]), "head")
    assert panel == ["head   ", "   a b ", " a ██  ", " b ▒▒▒▒"]
    assert draw_attention.side_by_side([panel] * 3, 17).splitlines()[0] == "head      head"
    assert draw_attention.side_by_side([panel] * 3, 0).count("head\n") == 3


def test_next_knows_what_has_passed_and_is_quoted(desk):
    Path("my work").mkdir()
    state = State()
    state.folder = Path("my work")
    for task in ("task01", "task02"):
        (Path("my work") / f"{task}_mine.py").write_text(task)
        state.note(task, Path("my work") / f"{task}_mine.py", [Result("identity", "pass")], "pass")
    assert following(state) == "python -m check start task03"
    (Path("my work") / "task03 mine.py").write_text("3")
    assert following(state) == "python -m check 'my work/task03 mine.py'"


def test_a_starter_can_be_a_notebook(desk, capsys):
    start.write("task03", Path(), to=Path("my_task03.ipynb"))
    kept = json.loads(Path("my_task03.ipynb").read_text())
    cells = kept["cells"]
    assert kept["nbformat"] == 4 and cells[0]["cell_type"] == "markdown" and cells[0]["source"].startswith("Task 3")
    assert sum("import" in cell["source"] for cell in cells[1:]) == 1
    code = "\n".join(cell["source"] for cell in cells[1:])
    assert ast.dump(ast.parse(code)) == ast.dump(ast.Module(ast.parse(build.starter("task03")).body[1:], []))


def test_a_failure_ends_with_line_and_example(capsys):
    where = "my_task03.py, line 7: x = y"
    result = Result("logits", "fail", what="w", hint="Why?", source=where, example="1 0\n0 1")
    check_file.show("task03", iter([result]))
    out = capsys.readouterr().out
    assert "line:     my_task03.py, line 7: x = y\n" in out and "example:  1 0\n" + " " * 22 + "0 1\n" in out


def test_notes_of_a_pass_are_kept_for_the_run(desk):
    Path("my_task03.py").write_text("x")
    result = Result("logits", "pass", notes=["another order of creation"])
    assert (
        check_file.summary("task03", [result])
        == "task03: all properties hold.\nNext to the lesson: another order of creation."
    )
    State().note("task03", Path("my_task03.py"), [result], "pass")
    notes = State().notes("task03", Path("my_task03.py"))
    said = run_file.comparison({0: (9.0, 9.0)}, [[0, 4.2, 4.3]], notes)
    assert "as the check foretold (another order of creation)" in said
    Path("my_task03.py").write_text("y")
    assert State().notes("task03", Path("my_task03.py")) == []


# Sizes and losses of tasks 1 to 6.


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n_head": 3}, "n_embd 32 does not divide among n_head 3"),
        ({"learning_rate": 1e38, "eval_interval": 1}, r"the loss at step \d is not a finite number: the run diverged"),
        ({"learning_rate": 1e38, "eval_interval": 500}, "a weight at the end is not a finite number"),
    ],
)
def test_sizes_and_losses_that_make_no_model_are_one_line(monkeypatch, call, fields, said):
    defaults = [(name, type(value), value) for name, value in (fields | {"max_steps": 9}).items()]
    config = dataclasses.make_dataclass("Config", defaults, bases=(task02.Config,), frozen=True)
    monkeypatch.setattr(task02, "Config", config)
    with pytest.raises(UserError, match=said):
        call(task02)


def test_a_notebooks_own_flags_are_not_ours(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/ipykernel_launcher.py", "-f", "/y/kernel.json"])
    assert options.parse_options("", task01.Config).seed == 42


def test_in_a_session_an_error_of_ones_own_keeps_its_line(monkeypatch, capsys):
    monkeypatch.setattr(ending, "is_interactive", lambda: True)

    with pytest.raises(FileNotFoundError):
        ending.run(Mock(side_effect=FileNotFoundError("mine")))


# On a real terminal.


@posix
@pytest.mark.slow
@pytest.mark.parametrize("width", walk.WIDTHS)
def test_real_screens_fit(tmp_path, width):
    walk.copy_repository(tmp_path)
    shown = "\n".join(walk.screens(tmp_path, (width,)))
    assert all(f"$ {command}" in shown for command in walk.SCREENS)
    assert max(len(line) for line in shown.splitlines() if not line.startswith("==")) <= width
    assert "Hint 1: " in shown and "Traceback" not in shown


@pytest.mark.parametrize("flags", [[], ["-P"], ["-m"]])
def test_the_check_is_found_by_its_path_and_help_comes_without_a_traceback(tmp_path, flags):
    """With -P Python leaves a script's folder out; -m is for the repository's folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = ["-m", "check"] if flags == ["-m"] else [*flags, str(ROOT / "check")]
    for folder in (tmp_path, ROOT):
        line = [sys.executable, *words, "--help"]
        result = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
        assert "Traceback" not in result.stderr and result.stderr.count("\n") <= 1
        assert result.returncode == (flags == ["-m"] and folder != ROOT)


def test_a_progress_line_is_cut_between_its_parts_and_a_title_not_within_its_length():
    line = "Step 100/10000 ──────────────────── 45.1 steps/s, 0:03:39 left"
    assert terminal.shortened(line, 62) == line and terminal.shortened(line, 59).endswith("45.1 steps/s")
    title = seen.side_by_side("weights", torch.ones(3, 3), torch.ones(3, 3)).splitlines()[0]
    assert title.replace("\N{NO-BREAK SPACE}", " ") == "weights, T = 3" and terminal.fold(title, 13).count("\n") == 1
    assert terminal.fold(title, 13).endswith("T\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}3")
