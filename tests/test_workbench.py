"""The commands around the check: names, table, start, watch, compare, run, look, grade, and what they write."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from check import compare, grade, likeness, look, marks, one, own, start
from check.marks import Mark, Points, names_of
from check.names import own_files, task_named, task_of
from check.state import State, following, rows
from check.submissions import collect
from common.run import UserError
from exercises import build
from exercises.briefs import BRIEFS
from exercises.hints import HINTS
from tests.mutants import MUTANTS
from tests.styles import in_styles

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
MINE = "# mine\n"


def right(task):
    """A right file that is not the official one."""
    return in_styles(task, build.source(task))["renamed"]


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder, as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a command's main(); its exit code, stdout and stderr."""

    def call(module, *words):
        monkeypatch.setattr(sys, "argv", ["check", *map(str, words)])
        code = 0
        try:
            module.main()
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


# Names.


@pytest.mark.parametrize(
    ("word", "task"),
    [
        ("task03", "task03"),
        ("3", "task03"),
        ("task3", "task03"),
        ("Task-3", "task03"),
        ("task_03", "task03"),
        ("9", "task09_rope"),
        ("task9", "task09_rope"),
        ("task09_rope", "task09_rope"),
        ("task03.py", "task03"),
        ("block", "block"),
        ("Multi-Head-Attention", "multi_head_attention"),
    ],
)
def test_a_task_is_known_by_what_people_call_it(word, task):
    assert task_named(word) == task


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("attentoin", "did you mean attention"),
        ("task10", "no task or piece; expected"),
        ("8", "task 8 has no check"),
        ("", "is no task"),
        ("x" * 10_000, "is no task"),
        ("task\x1b[2J", "is no task"),
    ],
)
def test_an_unknown_name_is_one_line(word, said):
    with pytest.raises(UserError, match=said) as error:
        task_named(word)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("my_task03.py", "task03"),
        ("task03_mine.py", "task03"),
        ("Task 3 anna.ipynb", "task03"),
        ("t/task9.py", "task09_rope"),
        ("my_multi_head_attention.py", "multi_head_attention"),
        ("attention-1.py", "attention"),
        ("essay.py", None),
        ("task08_infinite.py", None),
        ("task033.py", None),
        ("task2023.py", None),
    ],
)
def test_a_files_task_is_in_its_name(name, task):
    assert task_of(Path(name)) == task


def test_official_files_are_not_ones_own():
    assert not set(own_files(ROOT).values()) & {ROOT / f"{task}.py" for task in HINTS}


# The table, a check, a start.


def test_from_an_empty_folder_to_a_passed_task(desk, call):
    code, out, _ = call(one)
    assert code == 0 and out.count("not started") == 8 and out.endswith("Next: python -m check start task01\n")
    assert call(start, "3")[:2] == (0, "my_task03.py: written. Fill it in, then: python -m check my_task03.py\n")
    assert Path("my_task03.py").read_text() == build.starter("task03")
    assert call(one, "task03")[0] == 2
    assert next(row[2] for row in rows(State()) if row[0] == "task03") == "a starter, not written yet"
    Path("my_task03.py").write_text(right("task03"))
    assert "changed since it was checked" in call(one)[1]
    code, out, _ = call(one, "my_task03.py", "--all")
    assert code == 0 and out.endswith("task03: all properties hold.\n")
    assert next(row[2] for row in rows(State()) if row[0] == "task03") == "passed"
    assert following(State()) == "python -m check start task01"
    Path("my_task03.py").write_text(right("task03") + MINE)
    assert "changed since it passed" in call(one)[1]


def test_a_folder_given_once_is_remembered(desk, call):
    (desk / "home").mkdir()
    (desk / "home" / "task2_anna.py").write_text(right("task02"))
    assert "home/task2_anna.py" in call(one, "home")[1]
    assert "home/task2_anna.py" in call(one)[1]
    code, out, _ = call(one, "2")
    assert code == 0 and "all properties hold" in out
    assert call(start, "task03", "--mine")[0] == 0 and (desk / "home" / "my_task03.py").exists()


def test_the_check_of_a_file_elsewhere_is_not_remembered(desk, call, tmp_path_factory):
    (other := tmp_path_factory.mktemp("other") / "my_schedule.py").write_text(right("schedule"))
    assert call(one, other)[0] == 0 and not Path(".check.json").exists()


@pytest.mark.parametrize("kept", ["", "{", "[]", '{"folder": 3, "results": 4}', '{"results": {"task01": "x"}}', "\0"])
def test_a_broken_memory_is_an_empty_one(desk, call, kept):
    Path(".check.json").write_text(kept)
    assert call(one)[1].count("not started") == 8


def test_a_start_never_writes_over_a_file(desk):
    Path("my_task01.py").write_text("precious")
    sys.argv = ["check", "task01"]
    with pytest.raises(UserError, match="is there already"):
        start.main()
    assert Path("my_task01.py").read_text() == "precious"


@pytest.mark.parametrize("task", BRIEFS)
def test_a_starter_says_what_it_asks_for(task):
    text = build.starter(task)
    doc = text.split('"""')[1]
    brief = BRIEFS[task]
    assert brief.formula in doc and "https://" in doc and "Expect: a validation loss" in doc
    assert " ".join(brief.given.split()) in " ".join(doc.split())
    assert max(map(len, text.splitlines())) <= 120
    assert not any(" ".join(hint.split()) in " ".join(doc.split()) for hint in HINTS[task])  # hints say more


@pytest.mark.parametrize("task", list(BRIEFS)[1:])
def test_ones_own_file_becomes_the_next_starter(desk, task):
    previous = list(BRIEFS)[list(BRIEFS).index(task) - 1]
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


# Beside the official file, running, looking.


def test_what_differs_in_kind_is_said_before_the_diff():
    mine = in_styles("task02", build.source("task02"))["separate_with_biases"]
    text = compare.beside("task02", mine)
    assert "# linear layers written down: yours 4, the official file 2" in text
    assert "--- yours\n+++ task02.py\n" in text
    assert compare.differences(build.source("task02"), build.source("task02")) == []
    assert "cannot be read" in compare.beside("task02", "def f(:\n")


STEPS = [[0, 4.2, 4.3], [500, 2.7, 2.8]]


@pytest.mark.parametrize(
    ("own_log", "said"),
    [
        ({0: (4.2, 4.3), 500: (2.7, 2.8)}, "all lines are the same, digit for digit"),
        ({0: (4.2, 4.3)}, "1 of 2 lines are the same"),
        ({0: (4.2001, 4.3), 500: (2.7, 2.8)}, "within rounding"),
        ({0: (4.2, 4.3), 500: (2.71, 2.8)}, "within 0.0100"),
        ({0: (4.2, 4.3), 500: (2.1, 2.2)}, "the same at first, then others"),
        ({0: (4.5, 4.3), 500: (2.1, 2.2)}, "another order"),
        ({7: (4.5, 4.3)}, "no step in common"),
    ],
)
def test_a_log_is_set_beside_the_documented_one(own_log, said):
    assert said in own.comparison(own_log, STEPS, [])


def test_a_file_in_any_folder_can_be_run(desk, call):
    (desk / "far").mkdir()
    (desk / "far" / "my_task01.py").write_text(right("task01"))
    code, out, err = call(own, "far/my_task01.py", "--steps", 1)
    assert code == 0 and out.startswith("Epoch 0: avg train loss 4.2495 | avg val loss 4.2491\n")
    assert err.endswith("Next to the documented log: 1 of 10 lines are the same, digit for digit.\n")
    (desk / "far" / "my_task02.py").write_text("x = 1\n")
    sys.argv = ["check", "far/my_task02.py"]
    with pytest.raises(UserError, match="nothing to run"):
        own.main()


@pytest.mark.parametrize("task", ["task01", "task02", "task06"])
@pytest.mark.parametrize("style", ["renamed", "unparsed"])
def test_attention_is_seen_whatever_it_is_called(task, style, desk, call):
    text = in_styles(task, build.source(task)).get(style)
    Path(f"my_{task}.py").write_text(text)
    code, out, _ = call(look, f"my_{task}.py", "--seconds", 1)
    layers, heads = {"task01": (1, 1), "task02": (1, 4), "task06": (3, 4)}[task]
    assert code == 0 and f"Layer 1 of {layers}." in out and f"head {heads} of {heads}" in out
    for line in out.split("head 1")[1].splitlines()[2:10]:
        position = "?⏎⏎GREMI".index(line[1]) if line[1] != "⏎" else 2
        assert len(line) <= 3 + 2 * (position + 1)  # nothing after itself


def test_weights_are_those_of_attention():
    q, k, v = torch.randn(3, 1, 2, 4, 8)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    with look.heard() as found:
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


# A folder of submissions.


def hand_in(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def test_students_tasks_and_versions_are_read_from_names(tmp_path):
    hand_in(
        tmp_path,
        {
            "anna/my_task03.py": "x = 1",
            "anna/deep/er/block.py": "x = 1",
            "Bo Ek_12_assignsubmission_file_/task1.py": "x = 1",
            "Cy Ng_13_assignsubmission_file_my_task02.py": "x = 1",
            "doejane_late_1010_my_task05-1.py": "x = 2",
            "doejane_1009_my_task05.py": "x = 1",
            "eva_task04.py": "x = 1",
            "__MACOSX/eva_task04.py": "x = 1",
            "fay/essay.txt": "x",
            "fay/task01.py": b"\xff\xfe",
            "fay/task02.py": "\n",
            "fay/task03.py": "y" * 2**21,
            "fay/nothing.py": "x = 1",
        },
    )
    (tmp_path / "fay" / "task04.py").symlink_to("nowhere")
    with zipfile.ZipFile(tmp_path / "anna" / "all.zip", "w") as archive:
        archive.writestr("hw/task06.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": "x = 3"}]}))
        archive.writestr("../../task07.py", "x = 4")
        archive.writestr("big_task01.py", "z" * 2**21)
    found, left = collect(tmp_path)
    assert {(each.student, each.task, each.late) for each in found} == {
        ("anna", "task03", False),
        ("anna", "block", False),
        ("anna", "task06", False),
        ("anna", "task07", False),
        ("Bo Ek", "task01", False),
        ("Cy Ng", "task02", False),
        ("doejane", "task05", True),
        ("eva", "task04", False),
    }
    assert next(each.code for each in found if each.student == "doejane") == "x = 2"
    assert left["doejane_1009_my_task05.py"].startswith("an earlier version")
    assert left["anna/all.zip!big_task01.py"] == left["fay/task03.py"] == "larger than 1 MiB"
    assert set(left) == {
        "doejane_1009_my_task05.py",
        "anna/all.zip!big_task01.py",
        *(f"fay/{name}" for name in ("essay.txt", "nothing.py", "task01.py", "task02.py", "task03.py", "task04.py")),
    }
    assert not (tmp_path.parent / "task07.py").exists()


@pytest.fixture
def class_room(tmp_path):
    copy = right("schedule").replace("warmup_iters", "rise")
    hand_in(
        tmp_path / "in",
        {
            "anna/task01.py": build.starter("task01"),
            "ben/schedule.py": next(mutant for mutant in MUTANTS if mutant.task == "schedule").text(),
            "carl/schedule.py": right("schedule"),
            "dora_late_1_2_schedule.py": copy,
            "dora_late_1_2_essay.pdf": b"%PDF",
        },
    )
    (tmp_path / "points.toml").write_text("late = 0.5\n[default]\nidentity = 0\n[schedule]\ninterface = 3\n")
    return tmp_path


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_is_marked_in_every_form(class_room, call, jobs):
    forms = {name: class_room / name for name in ("marks.csv", "marks.json", "results.json", "pages")}
    code, out, err = call(
        grade, class_room / "in", "--jobs", jobs, "--points", class_room / "points.toml", "--csv", forms["marks.csv"],
        "--json", forms["marks.json"], "--gradescope", forms["results.json"], "--feedback", forms["pages"],
    )  # fmt: skip
    assert (code, err) == (1, "")
    table = [line.split() for line in out.partition("\n\n")[0].splitlines()]
    assert [row[:3] for row in table[1:]] == [
        ["anna", "task01", "not"],
        ["ben", "schedule", "fail"],
        ["carl", "schedule", "pass"],
        ["dora", "schedule", "pass"],
    ]
    assert "Not graded:\n  dora_late_1_2_essay.pdf: not Python, a notebook or a zip\n" in out
    full = 3 + len(names_of("schedule")) - 2
    lines = {row["student"]: row for row in csv.DictReader(forms["marks.csv"].read_text().splitlines())}
    assert lines["carl"]["points"] == lines["carl"]["of"] == str(full) and lines["dora"]["points"] == f"{full / 2:g}"
    assert lines["dora"]["late"] == "late" and "the same code as carl/schedule.py" in lines["dora"]["like"]
    assert lines[""]["why not graded"].startswith("not Python")
    kept = json.loads(forms["marks.json"].read_text())
    assert [mark["status"] for mark in kept["marks"]] == ["not started", "fail", "pass", "pass"]
    assert sorted(page.name for page in forms["pages"].iterdir()) == ["anna.md", "ben.md", "carl.md", "dora.md"]
    assert "- expected: " in (forms["pages"] / "ben.md").read_text()
    tests = json.loads(forms["results.json"].read_text())["tests"]
    assert sum(test["score"] for test in tests) == pytest.approx(
        sum(float(row["points"] or 0) for row in lines.values())
    )
    assert all(test.keys() == {"name", "score", "max_score", "status", "output", "visibility"} for test in tests)
    assert all(0 <= test["score"] <= test["max_score"] for test in tests)


def test_a_later_run_checks_only_what_is_new(class_room, call, monkeypatch):
    looked = []
    before = grade.look
    monkeypatch.setattr(grade, "look", lambda each, *rest: looked.append(each.student) or before(each, *rest))
    command = class_room / "in", "--json", class_room / "marks.json"
    first = call(grade, *command)
    assert looked == ["anna", "ben", "carl", "dora"]
    assert call(grade, *command) == first and len(looked) == 4
    (class_room / "in" / "carl" / "schedule.py").write_text(right("schedule") + MINE)
    call(grade, *command)
    assert looked[4:] == ["carl"]
    call(grade, *command, "--seed", 1)
    assert len(looked) == 9
    (class_room / "marks.json").write_text("my thesis")
    with pytest.raises(UserError, match="no result of an earlier run"):
        grade._known(class_room / "marks.json", {})
    (class_room / "other").mkdir()
    (class_room / "other" / "task01.py").write_text("x = 1")
    (class_room / "marks.json").unlink()
    call(grade, *command)
    monkeypatch.setattr(sys, "argv", ["grade", str(class_room / "other"), "--json", str(class_room / "marks.json")])
    with pytest.raises(UserError, match="holds the marks of"):
        grade.main()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "not TOML"),
        ("late = 2", "a share"),
        ("[task99]\nlogits = 1", "task99"),
        ("[task01]\nlogit = 1", "logit"),
        ("[task01]\nlogits = -1", "a number from 0"),
        ("[task01]\nlogits = true", "a number"),
        ("task01 = 3", "task01"),
    ],
)
def test_unusable_points_are_one_line(tmp_path, text, said):
    (tmp_path / "points.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        Points(tmp_path / "points.toml")


def test_nothing_of_a_submission_becomes_a_formula_or_markup():
    stages = [{"stage": "identity", "status": "fail", "what": "<b>*x*</b>", "got": "=1+1"}]
    mark = Mark("=HYPERLINK()", "task01", "@file", "fail", stages, 1.0, "0", False)
    Points().give(mark)
    assert "\n'=HYPERLINK()," in marks.as_csv([mark], {"=x": "-y"}) and ",'@file," in marks.as_csv([mark], {})
    page = marks.feedback("#<x>", [mark], {})
    assert page.startswith("# \\#\\<x\\>") and "\\<b\\>\\*x\\*" in page


def test_copies_are_named_and_two_ways_to_write_it_are_not():
    task = "task05"
    one_file, other = (in_styles(task, build.source(task))[style] for style in ("renamed", "separate_with_biases"))
    wrong = next(mutant for mutant in MUTANTS if mutant.task == task).text()
    found = likeness.alike(
        {"a": (task, one_file), "b": (task, MINE + one_file.replace("config", "settings")), "c": ("task04", one_file)}
    )
    assert "the same code as b" in found["a"] and "the same code as a" in found["b"] and found["c"] == []
    assert likeness.fingerprint(one_file) != likeness.fingerprint(other)
    assert likeness.fingerprint(one_file) != likeness.fingerprint(one_file.replace(".tril()", ".triu()"))
    assert likeness.alike({"x": ("task01", "def f(:"), "y": ("task01", wrong)})["x"] == []
    starters = {name: ("task01", build.starter("task01") + f"\n{name} = {name!r}\n") for name in ("p", "q")}
    assert likeness.alike(starters) == {"p": ["the same code as q"], "q": ["the same code as p"]} or not any(
        likeness.alike(starters).values()
    )


def test_many_copies_are_counted():
    found = likeness.alike({name: ("schedule", MINE * n + right("schedule")) for n, name in enumerate("abcdef")})
    assert found["f"] == ["the same code as a, b, c and 3 more"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_while_it_marks_leaves_nothing_behind_and_keeps_what_is_done(tmp_path, jobs):
    for number in range(12):
        hand_in(tmp_path / "in", {f"s{number}/task06.py": right("task06") + f"# {number}\n"})
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "check", "grade", str(tmp_path / "in"), "--jobs", jobs, "--json", "marks.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    while not (tmp_path / "marks.json").exists():
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and out == b""
    assert re.fullmatch(
        rb"check: Interrupted after \d+ of 12 files, kept in marks.json: the same command goes on.\n", err
    )
    assert list(temporary.iterdir()) == []
    assert 0 < len(json.loads((tmp_path / "marks.json").read_text())["marks"]) < 12


# Bad input.


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.py"], "no such file"),
        (["notes.txt"], "its name holds no task or piece"),
        (["--watch"], "expected a file"),
        (["--hint", "1"], "for which task"),
        (["my_task01.py"], "no such file"),
        (["task01", "folder"], "a folder"),
        (["attentoin"], "did you mean attention"),
        (["task01", "empty.py"], "the file is empty"),
        (["task01", "binary.py"], "not a text"),
        (["task01", "large.py"], "larger than 1 MiB"),
        (["task01", "notes.txt"], "expected a .py file or a notebook"),
        (["task01", "broken.ipynb"], "not a notebook"),
        (["task01", "a.py", "b.py"], "got 3 words"),
        (["task04"], "no file for task04 in this folder"),
        (["--hint", "4", "task01"], "--hint"),
    ],
)
def test_bad_input_says_what_to_do(desk, monkeypatch, words, said):
    hand_in(desk, {"empty.py": "", "binary.py": "\0", "large.py": "x" * 2**21, "notes.txt": "x", "broken.ipynb": "{"})
    (desk / "folder").mkdir()
    monkeypatch.setattr(sys, "argv", ["check", *words])
    with pytest.raises(UserError, match=said) as error:
        one.main()
    assert "\n" not in str(error.value)


def test_flags_may_stand_anywhere(desk, call):
    Path("mine.py").write_text(right("schedule"))
    for words in (["--seed", "3", "schedule", "--all", "mine.py", "--json"], ["mine.py", "--all", "schedule"]):
        assert call(one, *words)[0] == 0


def test_a_notebook_is_checked_by_its_cells(desk, call):
    parts = right("schedule").split("\n\n\n")
    cells = [{"cell_type": "code", "source": part} for part in ["%matplotlib inline", *parts]]
    Path("my_schedule.ipynb").write_text(json.dumps({"cells": cells}))
    assert call(one, "my_schedule.ipynb")[0] == 0


# What docs/teaching holds.

GRADESCOPE = {  # https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
    "score": float,
    "execution_time": int | float,
    "output": str,
    "output_format": str,
    "visibility": str,
    "stdout_visibility": str,
    "extra_data": dict,
    "tests": list,
}
GRADESCOPE_TEST = {
    "score": float,
    "max_score": float,
    "status": str,
    "name": str,
    "name_format": str,
    "number": str,
    "output": str,
    "output_format": str,
    "tags": list,
    "visibility": str,
    "extra_data": dict,
}
VISIBLE = {"hidden", "after_due_date", "after_published", "visible"}


def valid_for_gradescope(results):
    """Whether Gradescope's page knows every field, and its values are of the kinds that it names."""
    assert results.keys() <= GRADESCOPE.keys()
    assert all(isinstance(value, GRADESCOPE[key]) for key, value in results.items())
    assert results.get("stdout_visibility", "visible") in VISIBLE
    assert "score" in results or results["tests"]
    for test in results.get("tests", []):
        assert test.keys() <= GRADESCOPE_TEST.keys() and test["status"] in ("passed", "failed")
        assert all(isinstance(value, GRADESCOPE_TEST[key]) for key, value in test.items())
        assert test["visibility"] in VISIBLE and 0 <= test["score"] <= test["max_score"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a bash script")
@pytest.mark.parametrize("handed_in", ["right", "wrong", "nothing"])
def test_gradescopes_script_leaves_results_whatever_was_handed_in(tmp_path, handed_in):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "gpt").symlink_to(ROOT)
    (tmp_path / "results").mkdir()
    (tmp_path / "submission").mkdir()
    if handed_in != "nothing":
        text = right("schedule")
        wrong = text.replace("math.cos", "math.sin")
        (tmp_path / "submission" / "my_schedule.py").write_text(text if handed_in == "right" else wrong)
    environment = {**os.environ, "AUTOGRADER": str(tmp_path), "PYTHON": sys.executable}
    result = subprocess.run([ROOT / "docs/teaching/gradescope/run_autograder"], env=environment, capture_output=True)
    assert result.returncode == 0
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    valid_for_gradescope(results)
    got = sum(test["score"] for test in results.get("tests", []))
    most = sum(test["max_score"] for test in results.get("tests", []))
    assert {"right": got == most > 0, "wrong": got < most, "nothing": results.get("score") == 0}[handed_in]


def test_the_example_of_points_can_be_used():
    points = Points(ROOT / "docs" / "teaching" / "points.toml")
    assert points.late == 0.8 and points.of("task01", "logits") == 4 and points.of("task02", "identity") == 0


def test_made_up_submissions_are_sixty_and_of_every_kind(tmp_path):
    from tests import submissions

    assert submissions.write(tmp_path) >= 60
    found, left = collect(tmp_path)
    assert len(found) + len(left) >= 60 and any(each.late for each in found)
    assert {Path(each.name.partition("!")[0]).suffix for each in found} == {".py", ".ipynb", ".zip"}


def test_a_picture_has_every_head(desk, call):
    pytest.importorskip("matplotlib")
    Path("my_task02.py").write_text(right("task02"))
    code, out, _ = call(look, "2", "--seconds", 1, "--png", "heads.png")
    assert (code, out) == (0, "heads.png: written\n") and Path("heads.png").read_bytes()[:4] == b"\x89PNG"
