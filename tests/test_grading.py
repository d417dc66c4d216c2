"""A folder of submissions: who handed in what, marks, the forms in which they are written, copies."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from check.grading import copies, grade
from check.grading.marks import Points, names_of
from check.grading.submissions import collect
from exercises import build
from tests.lessons import MINE, ROOT, cells, hand_in, right
from tools import submissions
from tools.submissions import packed

import pytest

pytestmark = pytest.mark.usefixtures("unconfined")
FILE = "x = 1\n"
WITH_PICTURES = cells(FILE).replace("}", ', "outputs": "' + "x" * 1_600_000 + '"}', 1)


def damaged():
    content = bytearray(packed({"my_task03.py": right("task03")}))
    content[42:82] = b"\xff" * 40
    return bytes(content)


CLONE = {
    **{f"anna/course/{folder}/x.py": FILE for folder in ("common", "check", "exercises")},
    **{f"anna/course/{task}.py": build.source(task) for task in ("task01", "task02", "task03")},
    "anna/course/exercises/task04.py": build.starter("task04"),
    "anna/course/notes.py": FILE,
}

MOODLE = "assignsubmission_file_"
EVERYTHING = {  # what it is: the files, and the students with the tasks that are graded
    "blind marking": ({f"Participant_{n}_{MOODLE}/my_task03.py": FILE for n in (101, 102)},
     {("Participant 101", "101", "task03"), ("Participant 102", "102", "task03")}),
    "two people of one name": (
     {f"Ann Ek_{n}_{MOODLE}/my_task03.py": FILE for n in (1, 2)} | {f"ekann_{n}_77_my_task03.py": FILE for n in (3, 4)},
     {("Ann Ek", "1", "task03"), ("Ann Ek", "2", "task03"), ("ekann", "3", "task03"), ("ekann", "4", "task03")}),
    "names with a !": ({"Yo!/my_task03.py": FILE, "Yo!Bo/my_task03.py": FILE},
     {("Yo!", "", "task03"), ("Yo!Bo", "", "task03")}),
    "a class's zip": ({"Task 3-77.zip": packed({f"S {n}_{n}_{MOODLE}/task3.py": FILE for n in (1, 2)})},
     {("S 1", "1", "task03"), ("S 2", "2", "task03")}),
    "a class's zip of folders": ({"hw.zip": packed({"hw/anna/task3.py": FILE, "hw/bo/task3.py": FILE})},
     {("anna", "", "task03"), ("bo", "", "task03")}),
    "a zip for each student": ({f"{name}.zip": packed({"task01.py": FILE + name}) for name in ("anna", "bo")},
     {("anna", "", "task01"), ("bo", "", "task01")}),
    "a file named like another's": (
     {f"Ann_1_{MOODLE}/my_task03.py": FILE, f"Eve_2_{MOODLE}/Ann_1_{MOODLE}my_task03.py": "x = 2\n"},
     {("Ann", "1", "task03"), ("Eve", "2", "task03")}),
    "Blackboard": (
     {f"HW 3_{name}_attempt_2026-11-26-10-00-0{n}_my_task03.py": FILE for name in ("ann", "bo") for n in (1, 2)},
     {("ann", "", "task03"), ("bo", "", "task03")}),
    "Canvas, anonymous": ({"anon_aB3xY_late_88_my_task03.py": FILE}, {("Participant aB3xY", "aB3xY", "task03")}),
    "a clone with one own file": (CLONE | {"anna/course/my_task05.py": FILE, "anna/course/task02.py": FILE},
     {("anna", "", "task05"), ("anna", "", "task02")}),
    "environments and hidden folders": (
     {f"anna/{place}/task03.py": FILE for place in (".git", ".ipynb_checkpoints", "venv", "a/site-packages")}
     | {"anna/mine/pyvenv.cfg": "", "anna/mine/task03.py": FILE, "anna/task01.py": FILE}, {("anna", "", "task01")}),
    "capitals": ({"anna/MY_TASK03.PY": FILE, "bo/My_Task03.Ipynb": cells(FILE)},
     {("anna", "", "task03"), ("bo", "", "task03")}),
    "a zip in a zip": ({"anna/hw.zip": packed({"w.zip": packed({"task3.py": FILE})})}, {("anna", "", "task03")}),
    "a notebook with pictures": ({"anna/my_task03.ipynb": WITH_PICTURES}, {("anna", "", "task03")}),
    "a suffix that mail adds": ({"anna/my_task03.py.txt": FILE}, {("anna", "", "task03")}),
}  # fmt: skip


@pytest.mark.parametrize("what", EVERYTHING)
def test_nobody_vanishes(tmp_path, what):
    files, expected = EVERYTHING[what]
    hand_in(tmp_path, files)
    found = collect(tmp_path)
    assert {(each.student.name, each.student.id, each.task) for each in found.submissions} == expected
    assert {(student.name, student.id) for student in found.students} == {each[:2] for each in expected}
    assert set(found.left.values()) <= {f"an earlier version of {each.name}" for each in found.submissions}


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("essay.pdf", b"%PDF", "not Python"), ("nothing.py", FILE, "not contain a task"),
        ("task01.py", b"\xff\xfe", "not UTF-8"), ("task01.py", "y" * 2**21, "more than 1 MiB of code"),
        ("task01.ipynb", "{", "not a notebook"),
        ("task01.ipynb", '{"cells": [{"cell_type": "code", "source": "\\ud800"}]}', ""),
        ("hw.zip", damaged(), "cannot be unpacked"), ("hw.zip", b"PK\3\4 no zip", "cannot be unpacked"),
        ("hw.zip", packed({"n" * 300 + "_task01.py": FILE}), ""), ("task01.rar", b"Rar!", "unpack it first"),
        ("my_task03.txt", FILE, "rename it to .py"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_graded_is_named_with_the_reason(tmp_path, name, content, why):
    hand_in(tmp_path, {f"anna/{name}": content, "bo/task02.py": FILE})
    found = collect(tmp_path)
    assert {student.name for student in found.students} == {"anna", "bo"}
    assert len(found.left) == bool(why) and all(why in reason for reason in found.left.values())
    assert len(found.submissions) == 2 - bool(why)


def test_names_that_are_not_utf8_or_too_long_are_shown_and_written(tmp_path, call):
    (tmp_path / "in").mkdir()
    for name in (b"M\xfcller", b"w" * 255, b"\x1b[2Jred"):
        folder = os.fsencode(tmp_path) + b"/in/" + name
        os.makedirs(folder)
        with open(folder + b"/my_schedule.py", "w") as file:
            file.write(build.starter("schedule"))
    words = ["--csv", tmp_path / "m.csv", "--feedback", tmp_path / "pages", "--json", tmp_path / "m.json"]
    code, out, err = call(grade, tmp_path / "in", *words)
    assert (code, err) == (0, "") and "M\\xfcller" in out and "\x1b" not in out
    assert len(list((tmp_path / "pages").iterdir())) == 3


def test_given_files_and_missing_ones_have_a_row_and_no_points(tmp_path, call):
    own, starter = "# all my own work\n" + build.source("schedule"), build.starter("schedule")
    hand_in(
        tmp_path, {"anna/schedule.py": starter, "bo/schedule.py": own, "cy/schedule.py": "\n", "dora/essay.pdf": b""}
    )
    (tmp_path / "eve").mkdir()
    code, out, _ = call(grade, tmp_path, "--seed", 0)
    rows = [re.split("  +", line) for line in out.partition("\n\n")[0].splitlines()[1:]]
    most = len(names_of("schedule"))
    given = ["the unchanged starter", "the repository's own file", "an empty file"]
    assert [row[0] for row in rows] == ["anna", "bo", "cy", "dora", "eve"]
    assert all(f"0 of {most}" in row for row in rows) and [row[-1] for row in rows[:3]] == given
    assert [row[2] for row in rows[3:]] == ["missing", "missing"] and code == 1


def test_the_newest_version_counts_and_the_own_file_before_the_given_one(tmp_path):
    hand_in(tmp_path, {"doejane_late_1010_1_my_task05-1.py": "x = 2", "doejane_1010_1_my_task05.py": "x = 1"})
    hand_in(tmp_path, {"anna/a/task03.py": "x = 3", "anna/z/task03.py": build.source("task03")})
    found = collect(tmp_path)
    assert {(each.code, each.late) for each in found.submissions} == {("x = 2", True), ("x = 3", False)}
    assert found.left == {"doejane_1010_1_my_task05.py": f"an earlier version of {found.submissions[1].name}"}


def test_an_unchanged_clone_alone_is_named(tmp_path):
    hand_in(tmp_path, CLONE | {"bo/task01.py": FILE})
    found = collect(tmp_path)
    assert [student.name for student in found.students] == ["anna", "bo"] and len(found.submissions) == 1
    assert [*found.left.values()] == ["an unchanged copy of the repository, and 7 more"]


def test_in_one_students_folder_copies_count_once(tmp_path):
    hand_in(tmp_path, {"my_task01.py": FILE, "week1/my_task01.py": FILE, "week2/task02.py": FILE})
    assert [each.task for each in collect(tmp_path, one_student=True).submissions] == ["task01", "task02"]


def test_files_without_a_task_in_their_names_are_of_the_task_that_is_given(tmp_path):
    hand_in(tmp_path, {"anna/hw3.py": FILE, "bo/week_three.py": FILE})
    assert [each.task for each in collect(tmp_path, expected="task03").submissions] == ["task03"] * 2


# Copies.


def edited(node, edit):
    """Edit a node of a tree, if the edit is about its kind."""
    match edit, node:
        case "hinted", ast.FunctionDef():
            node.returns = ast.Name("Tensor", ast.Load())
        case "reordered", ast.ClassDef():
            node.body.reverse()
        case "split", ast.FunctionDef(body=[*before, ast.Return(value=ast.expr() as value)]):
            node.body = [*before, ast.Assign([ast.Name("y", ast.Store())], value), ast.parse("return y").body[0]]
        case "padded", ast.FunctionDef():
            node.body.insert(0, ast.parse("if False:\n    print(1, 2)").body[0])
        case "renamed", ast.Name(id="x" | "B" | "T" | "C" | "q" | "k" | "v" | "heads" | "wei"):
            node.id = f"my_{node.id}"
        case "other numbers", ast.Constant(value=int() | float()) if node.value > 3:
            node.value += 1


@pytest.mark.parametrize("edit", ["hinted", "reordered", "split", "padded", "renamed", "other numbers"])
@pytest.mark.parametrize("style", ["ng_video_lecture", "heads_loop"])
def test_a_copy_is_known_after_an_edit(style, edit):
    code = (ROOT / f"tests/cases/right/{style}/task06.py").read_text(encoding="utf-8")
    tree = ast.parse(code)
    for node in ast.walk(tree):
        edited(node, edit)
    text = ast.unparse(ast.fix_missing_locations(tree))
    assert text != ast.unparse(ast.parse(code))
    ((share, names),) = copies.groups({"a": ("task06", code), "b": ("task06", text), "c": ("task05", code)})
    assert sorted(names) == ["a", "b"] and share >= 0.9


def test_nine_people_who_wrote_the_task_themselves_are_no_group():
    for task in ("task01", "task03", "task06", "task09_rope"):
        found = sorted(ROOT.glob(f"tests/cases/right/*/{task}.py"))
        assert len(found) >= 8
        assert copies.groups({path.parent.name: (task, path.read_text(encoding="utf-8")) for path in found}) == []


def test_copies_of_copies_are_one_group_and_the_official_file_is_named():
    code = right("task05")
    ((_, names),) = copies.groups({name: ("task05", code + MINE * n) for n, name in enumerate("abcdef")})
    assert sorted(names) == [*"abcdef", "the official task05"]


def test_a_file_without_end_is_not_compared():
    start = time.process_time()
    assert copies.groups({name: ("task01", FILE * 200_000) for name in "ab"}) == []
    assert time.process_time() - start < 2


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


# What docs/teaching holds.


COMMON = {"score": float, "output": str, "output_format": str, "visibility": str, "extra_data": dict}
GRADESCOPE = {  # https://gradescope-autograders.readthedocs.io/en/latest/specs/#output-format
    **COMMON, "execution_time": int | float, "stdout_visibility": str, "tests": list,
}  # fmt: skip
GRADESCOPE_TEST = {
    **COMMON, "max_score": float, "status": str, "name": str, "name_format": str, "number": str, "tags": list,
}  # fmt: skip
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
    for folder in ("source", "results", "submission"):
        (tmp_path / folder).mkdir()
    (tmp_path / "source" / "gpt").symlink_to(ROOT)
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


@pytest.mark.slow
def test_made_up_submissions_are_a_hundred_and_nobody_is_missing(tmp_path):
    assert submissions.write(tmp_path / "all") >= 100
    found = collect(tmp_path / "all")
    assert any(each.late for each in found.submissions)
    assert {Path(each.name).suffix for each in found.submissions} >= {".py", ".ipynb"}
