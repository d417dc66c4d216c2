"""The commands around the check: names, table, hints, start, watch, compare, run, look; what they say to bad input."""

import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

from check.command import check_file, compare, draw_attention, run_file, start
from check.command.names import own_files, own_name, task_named, task_of
from check.command.state import State, following, rows
from check.grading.marks import names_of
from check.judge.result import Result
from check.judge.stages.start import left_out
from check.judge.suites import stages_of
from common.heard import heard
from common.run import UserError
from exercises import build
from exercises.catalogue import EXERCISES, STAGES, TASKS
from tests.lessons import MINE, ROOT, cells, hand_in, right
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
    hand_in(desk, {"home/task2_anna.py": right("task02")})
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


def test_a_start_never_writes_over_a_file(desk, call):
    Path("my_task01.py").write_text("precious")
    with pytest.raises(UserError, match="exists already"):
        call(start, "task01")
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
    hand_in(desk, {"far/my_task01.py": right("task01"), "far/my_task02.py": "x = 1\n"})
    code, out, err = call(run_file, "far/my_task01.py", "--steps", 1)
    assert code == 0 and out.startswith("Epoch 0: avg train loss 4.2495 | avg val loss 4.2491\n")
    assert err.endswith("Compared with the documented log: 1 of 10 lines are the same, digit for digit.\n")
    with pytest.raises(UserError, match="nothing to run"):
        call(run_file, "far/my_task02.py")


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
    with heard() as found:
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
    line = [sys.executable, "-m", "check", "--watch", file.name]
    how = {"env": {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}, "stderr": subprocess.PIPE}
    process = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, text=True, **how)

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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.py"], "no such file"), (["notes.txt"], "its name does not contain a task or piece"),
        (["--watch"], "expected a file"), (["--hint", "1"], "for which task"), (["my_task01.py"], "no such file"),
        (["task01", "folder"], "a folder; expected a file in it"), (["attentoin"], "did you mean attention"),
        (["task01", "empty.py"], "the file is empty"), (["task01", "binary.py"], "not a text"),
        (["task01", "large.py"], "larger than 1 MiB"), (["task01", "notes.txt"], "expected a .py file or a notebook"),
        (["task01", "broken.ipynb"], "not a notebook"), (["task01", "a.py", "b.py"], "got 3 words"),
        (["task04"], "no file for task04 in this folder: python -m check start task04 writes my_task04.py"),
        (["--hint", "4", "task01"], "--hint"), (["my_taks03.py"], "did you mean my_task03.py"),
        (["strat", "x"], "did you mean start"), (["--wacth"], "--watch"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_do(desk, call, words, said):
    hand_in(desk, {"empty.py": "", "binary.py": "\0", "large.py": "x" * 2**21, "notes.txt": "x", "broken.ipynb": "{"})
    hand_in(desk, {"folder/notes.txt": "x", "my_task03.py": "x"})
    with pytest.raises(UserError, match=said) as error:
        call(check_file, *words)
    assert "\n" not in str(error.value)


def test_flags_may_stand_anywhere(desk, call):
    Path("mine.py").write_text(right("schedule"))
    for words in (["--seed", "3", "schedule", "--all", "mine.py", "--json"], ["mine.py", "--all", "schedule"]):
        assert call(check_file, *words)[0] == 0


def test_a_picture_has_every_head(desk, call):
    pytest.importorskip("matplotlib")
    Path("my_task02.py").write_text(right("task02"))
    code, out, _ = call(draw_attention, "2", "--seconds", 1, "--png", "heads.png")
    assert code == 0 and out.endswith("heads.png: written\n") and Path("heads.png").read_bytes()[:4] == b"\x89PNG"


def test_a_start_makes_a_folder_and_says_so(desk, call):
    _, out, _ = call(start, "encoder", "--to", "transformer_lm/modeling_transformer.py")
    assert "written in a new folder, transformer_lm." in out and Path("transformer_lm/modeling_transformer.py").exists()
    with pytest.raises(UserError, match="No such file or directory"):
        call(start, "encoder", "--to", "one/two/three.py")


def test_hints_are_counted_for_each_file(desk, call):
    fails = [Result("logits", "fail")]
    assert call(check_file, "--hint", 1, "task02", "other.py")[0] == 0
    assert check_file.summary("task02", fails, Path("other.py")).endswith("check task02 other.py --hint 2")
    assert check_file.summary("task02", fails, Path("task02_mine.py")).endswith("check task02_mine.py --hint 1")
    assert check_file.summary("task02", fails).endswith("check task02 --hint 1")


@pytest.mark.parametrize("task", EXERCISES)
def test_the_next_hint_is_about_the_stage_that_failed(task, desk, call):
    """Its command is given by the failure; a stage without hints of its own gets one for the whole task."""
    Path(own_name(task)).write_text("x = 1\n")
    for stage in (each.__name__ for each in stages_of(task)):
        about = EXERCISES[task].about(stage)
        for expected in [*about, about[-1]] if about else EXERCISES[task].hints[:1]:
            failed = [Result("interface", "pass"), Result(stage, "fail"), Result("later", "fail")]
            level = check_file.summary(task, failed, Path(own_name(task))).rpartition(" ")[2]
            State().note(task, Path(own_name(task)), failed, "fail")
            _, out, _ = call(check_file, "--hint", level, task)
            assert out == (f"About {stage}: {expected}\n" if about else f"About all of {task}: {expected}\n")
        Path(".check.json").unlink()


def test_hints_in_general_go_on_where_nothing_failed(desk, call):
    file = Path("my_task03.py")
    file.write_text("x = 1\n")
    State().note("task03", file, [Result("generation", "fail")], "fail")
    assert call(check_file, "--hint", 1, "task03")[1].startswith("About generation: ")
    State().note("task03", file, [Result("interface", "not started")], "not started")
    assert call(check_file, "--hint", 1, "task03")[1] == f"About all of task03: {EXERCISES['task03'].hints[0]}\n"
    State().note("task03", file, [Result("generation", "fail")], "fail")
    assert check_file.summary("task03", [Result("generation", "fail")]).endswith("--hint 2")


def test_every_hint_of_a_stage_belongs_to_one():
    for name, each in EXERCISES.items():
        stages = {stage.__name__ for stage in stages_of(name)}
        assert {*each.of_stages} - {*STAGES} <= stages and {*each.hints_are_about} <= stages
        assert all(40 < len(hint) < 300 for hints in [each.hints, *each.of_stages.values()] for hint in hints)
    assert {*STAGES} <= {stage.__name__ for name in EXERCISES for stage in stages_of(name)}


@pytest.mark.parametrize(
    ("task", "got", "level"),
    [
        ("task01", "the lesson's model without the scale of the scores", 3),
        ("multi_head_attention", "the lesson's model with scores multiplied by √head_size", 3),
        ("generate", "is the temperature a factor", 3),
        ("task04", "the lesson's model without the scale of the scores", 1),  # its formula has no scale
        ("task01", "others", 1),
    ],
)
def test_the_next_hint_has_the_factor_that_fails(desk, task, got, level):
    failed = [Result("logits", "fail", got=got)]
    assert check_file.level_of_hint(task, None, failed) == level
    State().hint(task, level)
    assert check_file.level_of_hint(task, None, [Result("shapes", "fail")]) == {1: 2, 3: 1}[level]


def test_the_table_says_that_task_8_is_read_and_run():
    names = [row[0] for row in rows(State())]
    assert names[6:9] == ["task07", "task08", "task09_rope"] and rows(State())[7][2].startswith("no check: read it")


@pytest.mark.parametrize(
    ("command", "file", "said"),
    [
        (draw_attention, "chapter1.py", "look needs a task's file, with Config and GPT; for a transformer: python -m"),
        (run_file, "03_training.ipynb", "run a notebook in Jupyter"),
    ],
)
def test_a_command_for_another_kind_of_file_says_which(desk, call, command, file, said):
    hand_in(desk, {"chapter1.py": "x = 1\n", "03_training.ipynb": cells("x = 1")})
    with pytest.raises(UserError, match=said):
        call(command, file)


def test_a_long_list_of_what_was_left_out_is_cut():
    learner = Namespace(path=Path("my_block.py"))
    assert left_out(learner, {"left_out": []}) == ""
    assert left_out(learner, {"left_out": [*"abc"]}) == "; left out: a, b, c"
    assert left_out(learner, {"left_out": [*"abcde"]}) == "; left out: a, b, c and 2 more"
