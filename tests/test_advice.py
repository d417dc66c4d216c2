"""What the check says to bad input, and what a student stumbled over."""

import json
import sys
from argparse import Namespace
from pathlib import Path

from check.command import check_file, draw_attention, run_file, start
from check.command.names import own_name
from check.command.state import State, rows
from check.judge.result import Result
from check.judge.stages.start import left_out
from check.judge.suites import stages_of
from common.run import UserError
from exercises.catalogue import EXERCISES, STAGES
from tests.lessons import hand_in, right

import pytest

# Bad input.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.py"], "no such file"), (["notes.txt"], "its name does not contain a task or piece"),
        (["--watch"], "expected a file"), (["--hint", "1"], "for which task"), (["my_task01.py"], "no such file"),
        (["task01", "folder"], "a folder"), (["attentoin"], "did you mean attention"),
        (["task01", "empty.py"], "the file is empty"), (["task01", "binary.py"], "not a text"),
        (["task01", "large.py"], "larger than 1 MiB"), (["task01", "notes.txt"], "expected a .py file or a notebook"),
        (["task01", "broken.ipynb"], "not a notebook"), (["task01", "a.py", "b.py"], "got 3 words"),
        (["task04"], "no file for task04 in this folder"), (["--hint", "4", "task01"], "--hint"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_do(desk, monkeypatch, words, said):
    hand_in(desk, {"empty.py": "", "binary.py": "\0", "large.py": "x" * 2**21, "notes.txt": "x", "broken.ipynb": "{"})
    (desk / "folder").mkdir()
    monkeypatch.setattr(sys, "argv", ["check", *words])
    with pytest.raises(UserError, match=said) as error:
        check_file.main()
    assert "\n" not in str(error.value)


def test_flags_may_stand_anywhere(desk, call):
    Path("mine.py").write_text(right("schedule"))
    for words in (["--seed", "3", "schedule", "--all", "mine.py", "--json"], ["mine.py", "--all", "schedule"]):
        assert call(check_file, *words)[0] == 0


@pytest.mark.slow
def test_a_notebook_is_checked_by_its_cells(desk, call):
    parts = right("schedule").split("\n\n\n")
    cells = [{"cell_type": "code", "source": part} for part in ["%matplotlib inline", *parts]]
    Path("my_schedule.ipynb").write_text(json.dumps({"cells": cells}))
    assert call(check_file, "my_schedule.ipynb")[0] == 0


def test_a_picture_has_every_head(desk, call):
    pytest.importorskip("matplotlib")
    Path("my_task02.py").write_text(right("task02"))
    code, out, _ = call(draw_attention, "2", "--seconds", 1, "--png", "heads.png")
    assert code == 0 and out.endswith("heads.png: written\n") and Path("heads.png").read_bytes()[:4] == b"\x89PNG"


# What a student stumbled over.


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
        (draw_attention, "chapter1.py",
         "look needs a task's file, with Config and GPT; for a transformer: python -m studies"),
        (run_file, "03_training.ipynb", "run a notebook in Jupyter"),
    ],
)  # fmt: skip
def test_a_command_for_another_kind_of_file_says_which(desk, call, command, file, said):
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": "x = 1"}]})
    hand_in(desk, {"chapter1.py": "x = 1\n", "03_training.ipynb": notebook})
    with pytest.raises(UserError, match=said):
        call(command, file)


def test_a_long_list_of_what_was_left_out_is_cut():
    learner = Namespace(path=Path("my_block.py"))
    assert left_out(learner, {"left_out": []}) == ""
    assert left_out(learner, {"left_out": [*"abc"]}) == "; left out: a, b, c"
    assert left_out(learner, {"left_out": [*"abcde"]}) == "; left out: a, b, c and 2 more"
