"""The commands around the check: names, table, start, watch, compare, run, look, grade, and what they write."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from check.command import check_file, compare, draw_attention, run_file, start
from check.command.names import own_files, task_named, task_of
from check.command.state import State, following, rows
from check.grading.marks import names_of
from common.run import UserError
from exercises import build
from exercises.catalogue import EXERCISES, TASKS
from tests.lessons import MINE, ROOT, right
from tools.styles import in_styles

import pytest
import torch

# Names.


@pytest.mark.parametrize(
    ("word", "task"),
    [
        ("task03", "task03"), ("3", "task03"), ("task3", "task03"), ("Task-3", "task03"), ("task_03", "task03"),
        ("9", "task09_rope"), ("task9", "task09_rope"), ("task09_rope", "task09_rope"), ("task03.py", "task03"),
        ("block", "block"), ("Multi-Head-Attention", "multi_head_attention"),
    ],
)  # fmt: skip
def test_a_task_is_known_by_what_people_call_it(word, task):
    assert task_named(word) == task


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("attentoin", "did you mean attention"), ("task10", "not a task or piece; expected"),
        ("8", "task 8 has no check"), ("", "is not a task"), ("x" * 10_000, "is not a task"),
        ("task\x1b[2J", "is not a task"),
    ],
)  # fmt: skip
def test_an_unknown_name_is_one_line(word, said):
    with pytest.raises(UserError, match=said) as error:
        task_named(word)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("my_task03.py", "task03"), ("task03_mine.py", "task03"), ("Task 3 anna.ipynb", "task03"),
        ("t/task9.py", "task09_rope"), ("my_multi_head_attention.py", "multi_head_attention"),
        ("attention-1.py", "attention"), ("essay.py", None), ("task08_infinite.py", None), ("task033.py", None),
        ("task2023.py", None),
    ],
)  # fmt: skip
def test_a_files_task_is_in_its_name(name, task):
    assert task_of(Path(name)) == task


def test_official_files_are_not_ones_own():
    assert not set(own_files(ROOT).values()) & {ROOT / f"{task}.py" for task in EXERCISES}


# The table, a check, a start.


def test_from_an_empty_folder_to_a_passed_task(desk, call):
    code, out, _ = call(check_file)
    assert code == 0 and out.count("not started") == 8 and out.endswith("Next: python -m check start task01\n")
    assert call(start, "3")[:2] == (0, "my_task03.py: written. Fill it in, then: python -m check my_task03.py\n")
    assert Path("my_task03.py").read_text() == build.starter("task03")
    assert call(check_file, "task03")[0] == 2
    assert next(row[2] for row in rows(State()) if row[0] == "task03") == "a starter, not written yet"
    Path("my_task03.py").write_text(right("task03"))
    assert "changed since it was checked" in call(check_file)[1]
    code, out, _ = call(check_file, "my_task03.py", "--all")
    assert code == 0 and out.endswith("task03: all properties hold.\n")
    assert next(row[2] for row in rows(State()) if row[0] == "task03") == "passed"
    assert following(State()) == "python -m check start task01"
    Path("my_task03.py").write_text(right("task03") + MINE)
    assert "changed since it passed" in call(check_file)[1]


@pytest.mark.slow
def test_a_folder_given_once_is_remembered(desk, call):
    (desk / "home").mkdir()
    (desk / "home" / "task2_anna.py").write_text(right("task02"))
    assert "home/task2_anna.py" in call(check_file, "home")[1]
    assert "home/task2_anna.py" in call(check_file)[1]
    code, out, _ = call(check_file, "2")
    assert code == 0 and "all properties hold" in out
    assert call(start, "task03", "--mine")[0] == 0 and (desk / "home" / "my_task03.py").exists()


def test_the_check_of_a_file_elsewhere_is_not_remembered(desk, call, tmp_path_factory):
    (other := tmp_path_factory.mktemp("other") / "my_schedule.py").write_text(right("schedule"))
    assert call(check_file, other)[0] == 0 and not Path(".check.json").exists()


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"folder": 3, "results": 4}', '{"results": {"task01": "x"}}', "\0"])
def test_a_broken_memory_is_an_empty_one(desk, call, kept):
    Path(".check.json").write_text(kept)
    assert call(check_file)[1].count("not started") == 8


def test_a_start_never_writes_over_a_file(desk):
    Path("my_task01.py").write_text("precious")
    sys.argv = ["check", "task01"]
    with pytest.raises(UserError, match="exists already"):
        start.main()
    assert Path("my_task01.py").read_text() == "precious"


@pytest.mark.parametrize("task", TASKS)
def test_a_starter_says_what_it_asks_for(task):
    text = build.starter(task)
    doc = text.split('"""')[1]
    each = EXERCISES[task]
    assert each.formula in doc and "https://" in doc and "Expect: a validation loss" in doc
    assert each.given in " ".join(doc.split())
    assert max(map(len, text.splitlines())) <= 120
    assert not any(" ".join(hint.split()) in " ".join(doc.split()) for hint in each.hints)  # hints say more


@pytest.mark.parametrize("task", TASKS[1:])
def test_ones_own_file_becomes_the_next_starter(desk, task):
    previous = TASKS[TASKS.index(task) - 1]
    Path("mine_" + previous.removesuffix("_rope") + ".py").write_text(right(previous))
    text = start.from_mine(task, Path())
    compile(text, task, "exec")
    new, changed = start.differences(build.source(previous), build.source(task))
    assert changed and all(name in text for name in [*new, *changed])
    classes = [name for name in new if "." not in name]
    assert all(f"class {name}" in text or f"def {name}" in text for name in classes)


def test_a_task_without_one_before_cannot_begin_with_it(desk):
    with pytest.raises(UserError, match="no task before it"):
        start.from_mine("task01", Path())
    with pytest.raises(UserError, match="no file for task01"):
        start.from_mine("task02", Path())


# Next to the official file, running, looking.


def test_what_differs_in_kind_is_said_before_the_diff():
    mine = in_styles("task02", build.source("task02"))["separate_with_biases"]
    text = compare.compare("task02", mine)
    assert "# linear layers written down: yours 4, the official file 2" in text
    assert "--- yours\n+++ task02.py\n" in text
    assert compare.differences(build.source("task02"), build.source("task02")) == []
    assert "cannot be read" in compare.compare("task02", "def f(:\n")


STEPS = [[0, 4.2, 4.3], [500, 2.7, 2.8]]


@pytest.mark.parametrize(
    ("own_log", "said"),
    [
        ({0: (4.2, 4.3), 500: (2.7, 2.8)}, "all lines are the same, digit for digit"),
        ({0: (4.2, 4.3)}, "1 of 2 lines are the same"), ({0: (4.2001, 4.3), 500: (2.7, 2.8)}, "within rounding"),
        ({0: (4.2, 4.3), 500: (2.71, 2.8)}, "within 0.0100"),
        ({0: (4.2, 4.3), 500: (2.1, 2.2)}, "the same at first, then others"),
        ({0: (4.5, 4.3), 500: (2.1, 2.2)}, "another order"), ({7: (4.5, 4.3)}, "no step in common"),
    ],
)  # fmt: skip
def test_a_log_is_set_beside_the_documented_one(own_log, said):
    assert said in run_file.comparison(own_log, STEPS, [])


def test_a_file_in_any_folder_can_be_run(desk, call):
    (desk / "far").mkdir()
    (desk / "far" / "my_task01.py").write_text(right("task01"))
    code, out, err = call(run_file, "far/my_task01.py", "--steps", 1)
    assert code == 0 and out.startswith("Epoch 0: avg train loss 4.2495 | avg val loss 4.2491\n")
    assert err.endswith("Compared with the documented log: 1 of 10 lines are the same, digit for digit.\n")
    (desk / "far" / "my_task02.py").write_text("x = 1\n")
    sys.argv = ["check", "far/my_task02.py"]
    with pytest.raises(UserError, match="nothing to run"):
        run_file.main()


@pytest.mark.parametrize("task", ["task01", "task02", "task06"])
@pytest.mark.parametrize("style", ["renamed", "unparsed"])
def test_attention_is_seen_whatever_it_is_called(task, style, desk, call):
    text = in_styles(task, build.source(task)).get(style)
    Path(f"my_{task}.py").write_text(text)
    code, out, _ = call(draw_attention, f"my_{task}.py", "--seconds", 1)
    layers, heads = {"task01": (1, 1), "task02": (1, 4), "task06": (3, 4)}[task]
    assert code == 0 and f"Layer 1 of {layers}." in out and f"head {heads} of {heads}" in out
    for line in out.split("head 1")[1].splitlines()[2:10]:
        position = "?⏎⏎GREMI".index(line[1]) if line[1] != "⏎" else 2
        assert len(line) <= 3 + 2 * (position + 1)  # nothing after itself


def test_weights_are_those_of_attention():
    q, k, v = torch.randn(3, 1, 2, 4, 8)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    with draw_attention.heard() as found:
        got = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        also = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(also, expected)
    assert len(found) == 2 and found[0].sum(dim=-1).allclose(torch.ones(()))


# Watching.


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_watching_shows_what_changed_survives_errors_and_ends_with_ctrl_c(tmp_path):
    file = tmp_path / "my_schedule.py"
    file.write_text(right("schedule"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "check", "--watch", file.name],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None

    def until(end):
        lines = []
        while not lines or end not in lines[-1]:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            lines.append(line)
        return "".join(lines)

    assert until("all properties hold").count("pass ") == len(names_of("schedule"))
    file.write_text(right("schedule").replace("def get_lr(", "def get_lr(("))
    said = until("schedule: fails at identity.")
    assert "SyntaxError" in said and "pass " not in said
    file.write_text(right("schedule"))
    assert "fail" not in until("all properties hold")
    file.write_text(right("schedule") + MINE)
    assert "fail" not in until("all properties hold")  # the digest of the file is a stage's detail
    file.unlink()
    time.sleep(1)
    file.write_text("")
    until("the file is empty")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "check: Interrupted while it watched my_schedule.py.\n"
