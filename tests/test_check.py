"""The check names each bug, lets every right form pass, and is fair to code that hangs or is not there yet."""

import dataclasses
import json
import re
import subprocess
import sys
import warnings

import pytest
import torch

import task01
import task07
from check.pieces import PIECES, stages_of
from check.subject import Failure, Skipped, Subject
from exercises import build
from tests.lessons import ROOT
from tests.mutants import ALL, MUTANTS, table
from tests.restylings import RESTYLINGS


def first_failure(task, path):
    """(stage, what) of the first property that does not hold, or None."""
    warnings.simplefilter("ignore")  # as the worker does; pytest puts them back after each test
    subject = Subject(task, path, official_too=True)
    for name, stage in stages_of(task).items():
        try:
            with torch.enable_grad() if name in ("gradients", "loss") else torch.no_grad():
                stage(subject)
        except Skipped:
            continue
        except Failure as failure:
            return name, failure.what
        except Exception as error:
            return name, subject.line(error)
    return None


def cases(tables):
    """Rows of a table of files, those of whole tasks marked as slow."""
    slow = lambda case: [] if case.task in PIECES else [pytest.mark.slow]  # noqa: E731
    return [pytest.param(case, id=f"{case.task}-{case.what}", marks=slow(case)) for case in tables]


@pytest.mark.parametrize("task", [*(pytest.param(task, marks=pytest.mark.slow) for task in ALL), *PIECES])
def test_official_files_pass_every_stage(task):
    assert first_failure(task, ROOT / f"{build.module_name(task).replace('.', '/')}.py") is None


def test_there_are_sixty_mutants_and_more_over_all_tasks_and_stages():
    print(table())  # shown by pytest -rA
    assert len(table().splitlines()) == 2 + len(MUTANTS) >= 2 + 60
    covered = {(mutant.task, mutant.stage) for mutant in MUTANTS}
    assert {task for task, _ in covered} == {*ALL, *PIECES}
    assert {stage for task, stage in covered if task in ALL} == set(stages_of(ALL[0]))
    for piece, stages in PIECES.items():
        assert {stage for task, stage in covered if task == piece} >= set(stages) - {"identity", "contract"}


def test_the_committed_table_of_mutants_is_this_one():
    assert (ROOT / "docs/mutants.md").read_text(encoding="utf-8").endswith(f"\n\n{table()}\n")


@pytest.mark.parametrize("mutant", cases(MUTANTS))
def test_a_mutant_fails_at_its_stage(mutant, tmp_path):
    path = tmp_path / f"my_{mutant.task}.py"
    path.write_text(mutant.text(), encoding="utf-8")
    found = first_failure(mutant.task, path)
    assert found is not None, "passed every stage"
    assert found[0] == mutant.stage, found


@pytest.mark.parametrize("task", [*ALL, *PIECES])
def test_a_starter_is_its_lesson_with_a_hole(task):
    assert (ROOT / "exercises" / f"{task}.py").read_text(encoding="utf-8") == build.starter(task)
    for hint in build.HINTS[task]:
        assert 40 < len(hint) < 300


def test_there_are_fifteen_restylings():
    assert len(RESTYLINGS) >= 15


@pytest.mark.parametrize("restyling", cases(RESTYLINGS))
def test_right_code_passes_however_it_looks(restyling, tmp_path):
    path = tmp_path / f"my_{restyling.task}.py"
    path.write_text(restyling.text(), encoding="utf-8")
    assert first_failure(restyling.task, path) is None


def test_a_piece_computes_what_the_scripts_do():
    from common import training
    from exercises.official import attention, generate, optimizers

    q, k, v = torch.randn(3, 2, 5, 4)
    mask = task01.causal_mask(5)
    assert torch.equal(attention.causal_mask(5), mask)
    assert torch.equal(attention.attention(q, k, v, mask), task01.attention(q, k, v, mask, 4**-0.5))

    config = dataclasses.replace(task07.PRESETS["documented"], block_size=4, n_embd=6, n_layer=1)
    model, prompt = task07.GPT(config, 11), torch.zeros(2, 3, dtype=torch.long)
    torch.manual_seed(1)
    written = model.generate(prompt, 5, 0.8)
    torch.manual_seed(1)
    assert torch.equal(generate.generate(model, prompt, 5, 0.8), written)

    settings = config.weight_decay, config.learning_rate, (0.9, 0.999)
    (ours,) = training.configure_optimizers(model, config)
    alone = optimizers.configure_optimizers(model, *settings)
    for group, other in zip(alone.param_groups, ours.param_groups, strict=True):
        assert [id(p) for p in group["params"]] == [id(p) for p in other["params"]]
        assert all(group[name] == other[name] for name in ("lr", "betas", "weight_decay"))


# The command, as a learner and a teacher meet it.


def check(*flags, cwd=ROOT):
    command = [sys.executable, "-m", "check", *map(str, flags)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200)


@pytest.mark.slow
def test_a_starter_is_not_started():
    result = check("task03", "exercises/task03.py")
    assert result.returncode == 2 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert re.match(r"pass +identity +task03.py, SHA-256 [0-9a-f]{12}$", lines[0])
    assert re.match(r"not started +contract +write FeedForward.__init__$", lines[1])
    assert lines[2] == "task03: not started. python -m check task03 --hint 1 gives a nudge."


@pytest.mark.slow
def test_a_failure_says_what_was_expected_what_came_and_asks(tmp_path):
    mutant = next(mutant for mutant in MUTANTS if mutant.what == "mask off by one: sees the next")
    (tmp_path / "my_task02.py").write_text(mutant.text(), encoding="utf-8")
    result = check("task02", tmp_path / "my_task02.py")
    assert result.returncode == 1 and result.stderr == ""
    *_, failed, expected, got, hint, summary = result.stdout.splitlines()
    assert re.match(r"fail +causality +logits do not depend on later tokens$", failed)
    assert expected.split() == ["expected:", "position", "0", "blind", "to", "position", "1", "and", "on"]
    assert got.strip().startswith("got:      its logits change by")
    assert hint.strip() == "hint:     Which columns may the row of query t look at: up to t, or beyond?"
    assert summary == "task02: fails at causality."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "got"),
    [
        ("while True: pass", "nothing after 1 seconds"),
        ("import os; os._exit(7)", "the program ended itself, with code 7"),
        ("raise SystemExit(3)", "SystemExit: 3 (my_task01.py, line 1)"),
        ("1 / 0", "ZeroDivisionError: division by zero (my_task01.py, line 1)"),
        ("def f(:", "SyntaxError: invalid syntax (my_task01.py, line 1)"),
    ],
)
def test_code_that_hangs_or_raises_is_stopped_and_named(monkeypatch, tmp_path, code, got):
    from check import __main__ as command

    (tmp_path / "my_task01.py").write_text(code + "\n")
    monkeypatch.setattr(command, "SECONDS", 1 if "while" in code else 60)
    monkeypatch.setattr(command, "START_SECONDS", 60)
    (result,) = command.run("task01", tmp_path / "my_task01.py")
    assert (result["stage"], result["status"], result["got"]) == ("identity", "fail", got)


@pytest.mark.slow
def test_a_folder_is_graded_a_line_each(tmp_path):
    (tmp_path / "anna_task01.py").write_text((ROOT / "exercises/task01.py").read_text(encoding="utf-8"))
    (tmp_path / "ben_task01.py").write_text(MUTANTS[0].text(), encoding="utf-8")
    (tmp_path / "carl_schedule.py").write_text(build.starter("schedule"), encoding="utf-8")
    (tmp_path / "notes.py").write_text("")
    result = check("--all-tasks", tmp_path)
    assert result.returncode == 1
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["anna_task01.py", "not"], ["ben_task01.py", "fail"], ["carl_schedule.py", "not"],
    ]  # fmt: skip
    reports = json.loads(check("--all-tasks", tmp_path, "--json").stdout)
    assert [report["status"] for report in reports] == ["not started", "fail", "not started"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["task33", "x.py"], "expected a task or piece, task01, task02"),
        (["task01"], "expected your file after the task"),
        (["task01", "none.py"], "none.py: no such file"),
        (["--all-tasks", "none"], "none: no such folder"),
        (["--all-tasks", "docs"], "docs: no file there has a task's or piece's name"),
    ],
)
def test_bad_input_takes_one_line(flags, message):
    result = check(*flags)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr and result.stderr.count("\n") == 1


def test_the_official_file_is_refused(tmp_path):
    copy = tmp_path / "my_task01.py"
    copy.write_text("# mine\n" + (ROOT / "task01.py").read_text(encoding="utf-8"), encoding="utf-8")
    for path in (ROOT / "task01.py", copy):
        with pytest.raises(Failure, match="the code is yours"):
            Subject("task01", path).load()
