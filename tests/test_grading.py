"""A folder of submissions: who handed in what, marks, the forms in which they are written, copies."""

import ast
import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from check.grading import copies, forms, grade
from check.grading.marks import Mark, Points, names_of
from check.grading.submissions import collect
from check.judge.checking import check
from check.judge.zygote import Zygote
from common.run import UserError
from exercises import build
from tests.lessons import MINE, ROOT, hand_in, right
from tools.mutants import MUTANTS

import pytest

FILE = "x = 1\n"


@pytest.fixture(autouse=True)
def unconfined_where_nothing_confines(monkeypatch):
    """These files are the tests' own."""
    monkeypatch.setattr(grade.sandbox, "need", lambda unconfined: None)


def zipped(**files):
    """The bytes of a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def notebook(code, picture=0):
    cells = [{"cell_type": "code", "source": code, "outputs": [{"data": {"image/png": "x" * picture}}]}]
    return json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})


def damaged():
    content = bytearray(zipped(**{"my_task03.py": right("task03")}))
    content[42:82] = b"\xff" * 40
    return bytes(content)


CLONE = {
    **{f"anna/course/{folder}/x.py": FILE for folder in ("common", "check", "exercises")},
    **{f"anna/course/{task}.py": build.source(task) for task in ("task01", "task02", "task03")},
    "anna/course/exercises/task04.py": build.starter("task04"),
    "anna/course/notes.py": FILE,
}
EVERYTHING = {  # what it is: the files, and the students with the tasks that are graded
    "blind marking": (
        {f"Participant_{n}_assignsubmission_file_/my_task03.py": FILE for n in (101, 102)},
        {("Participant 101", "101", "task03"), ("Participant 102", "102", "task03")},
    ),
    "two people of one name": (
        {f"Ann Ek_{n}_assignsubmission_file_/my_task03.py": FILE for n in (1, 2)}
        | {f"ekann_{n}_77_my_task03.py": FILE for n in (3, 4)},
        {("Ann Ek", "1", "task03"), ("Ann Ek", "2", "task03"), ("ekann", "3", "task03"), ("ekann", "4", "task03")},
    ),
    "names with a !": (
        {"Yo!/my_task03.py": FILE, "Yo!Bo/my_task03.py": FILE},
        {("Yo!", "", "task03"), ("Yo!Bo", "", "task03")},
    ),
    "a class's zip": (
        {"Task 3-77.zip": zipped(**{f"S {n}_{n}_assignsubmission_file_/task3.py": FILE for n in (1, 2)})},
        {("S 1", "1", "task03"), ("S 2", "2", "task03")},
    ),
    "a class's zip of folders": (
        {"hw.zip": zipped(**{"hw/anna/task3.py": FILE, "hw/bo/task3.py": FILE})},
        {("anna", "", "task03"), ("bo", "", "task03")},
    ),
    "a zip for each student": (
        {f"{name}.zip": zipped(**{"task01.py": FILE + name}) for name in ("anna", "bo")},
        {("anna", "", "task01"), ("bo", "", "task01")},
    ),
    "a file named like another's": (
        {
            "Ann_1_assignsubmission_file_/my_task03.py": FILE,
            "Eve_2_assignsubmission_file_/Ann_1_assignsubmission_file_my_task03.py": "x = 2\n",
        },
        {("Ann", "1", "task03"), ("Eve", "2", "task03")},
    ),
    "Blackboard": (
        {f"HW 3_{name}_attempt_2026-11-26-10-00-0{n}_my_task03.py": FILE for name in ("ann", "bo") for n in (1, 2)},
        {("ann", "", "task03"), ("bo", "", "task03")},
    ),
    "Canvas, anonymous": (
        {"anon_aB3xY_late_88_my_task03.py": FILE},
        {("Participant aB3xY", "aB3xY", "task03")},
    ),
    "a clone with one own file": (
        CLONE | {"anna/course/my_task05.py": FILE, "anna/course/task02.py": FILE},
        {("anna", "", "task05"), ("anna", "", "task02")},
    ),
    "environments and hidden folders": (
        {f"anna/{place}/task03.py": FILE for place in (".git", ".ipynb_checkpoints", "venv", "a/site-packages")}
        | {"anna/mine/pyvenv.cfg": "", "anna/mine/task03.py": FILE, "anna/task01.py": FILE},
        {("anna", "", "task01")},
    ),
    "capitals": (
        {"anna/MY_TASK03.PY": FILE, "bo/My_Task03.Ipynb": notebook(FILE)},
        {("anna", "", "task03"), ("bo", "", "task03")},
    ),
    "a zip in a zip": ({"anna/hw.zip": zipped(**{"w.zip": zipped(**{"task3.py": FILE})})}, {("anna", "", "task03")}),
    "a notebook with pictures": ({"anna/my_task03.ipynb": notebook(FILE, 1_600_000)}, {("anna", "", "task03")}),
    "a suffix that mail adds": ({"anna/my_task03.py.txt": FILE}, {("anna", "", "task03")}),
}


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
        ("essay.pdf", b"%PDF", "not Python"),
        ("nothing.py", FILE, "not contain a task"),
        ("task01.py", b"\xff\xfe", "not UTF-8"),
        ("task01.py", "y" * 2**21, "more than 1 MiB of code"),
        ("task01.ipynb", "{", "not a notebook"),
        ("task01.ipynb", '{"cells": [{"cell_type": "code", "source": "\\ud800"}]}', ""),
        ("hw.zip", damaged(), "cannot be unpacked"),
        ("hw.zip", b"PK\3\4 no zip", "cannot be unpacked"),
        ("hw.zip", zipped(**{"n" * 300 + "_task01.py": FILE}), ""),
        ("task01.rar", b"Rar!", "unpack it first"),
        ("my_task03.txt", FILE, "rename it to .py"),
    ],
)
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
    words = [
        f"--{form}={tmp_path / name}" for form, name in (("csv", "m.csv"), ("feedback", "pages"), ("json", "m.json"))
    ]
    code, out, err = call(grade, tmp_path / "in", *words)
    assert (code, err) == (0, "") and "M\\xfcller" in out and "\x1b" not in out
    assert len(list((tmp_path / "pages").iterdir())) == 3


def test_given_files_and_missing_ones_have_a_row_and_no_points(tmp_path, call):
    hand_in(
        tmp_path,
        {
            "anna/schedule.py": build.starter("schedule"),
            "bo/schedule.py": "# all my own work\n" + build.source("schedule"),
            "cy/schedule.py": "\n",
            "dora/essay.pdf": b"%PDF",
        },
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
    hand_in(
        tmp_path,
        {
            "doejane_late_1010_1_my_task05-1.py": "x = 2",
            "doejane_1010_1_my_task05.py": "x = 1",
            "anna/a/task03.py": "x = 3",
            "anna/z/task03.py": build.source("task03"),
        },
    )
    found = collect(tmp_path)
    assert {(each.code, each.late) for each in found.submissions} == {("x = 2", True), ("x = 3", False)}
    assert found.left == {"doejane_1010_1_my_task05.py": f"an earlier version of {found.submissions[1].name}"}


def test_in_one_students_folder_copies_count_once(tmp_path):
    hand_in(tmp_path, {"my_task01.py": FILE, "week1/my_task01.py": FILE, "week2/task02.py": FILE})
    assert [each.task for each in collect(tmp_path, one_student=True).submissions] == ["task01", "task02"]


def test_files_without_a_task_in_their_names_are_of_the_task_that_is_given(tmp_path):
    hand_in(tmp_path, {"anna/hw3.py": FILE, "bo/week_three.py": FILE})
    assert [each.task for each in collect(tmp_path, expected="task03").submissions] == ["task03"] * 2


# Marks and forms.


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
    forms = {name: class_room / name for name in ("marks.csv", "marks.json", "pages")}
    code, out, err = call(
        grade, class_room / "in", "--jobs", jobs, "--points", class_room / "points.toml", "--csv", forms["marks.csv"],
        "--json", forms["marks.json"], "--feedback", forms["pages"],
    )  # fmt: skip
    assert (code, err) == (0, "")
    table = [line.split() for line in out.partition("\n\n")[0].splitlines()]
    assert [row[:3] for row in table[1:]] == [
        ["anna", "task01", "not"],
        ["ben", "schedule", "fail"],
        ["carl", "schedule", "pass"],
        ["dora", "schedule", "pass"],
    ]
    assert "\n2 of 4 pass. Most stop at: " in out
    full = 3 + len(names_of("schedule")) - 2
    lines = {row["student"]: row for row in csv.DictReader(forms["marks.csv"].read_text("utf-8-sig").splitlines())}
    assert lines["carl"]["points"] == lines["carl"]["of"] == str(full) and lines["dora"]["points"] == f"{full / 2:g}"
    assert lines["dora"]["late"] == "late" and lines["dora"]["id"] == "1"
    kept = json.loads(forms["marks.json"].read_text())
    assert [mark["status"] for mark in kept["marks"]] == ["not started", "fail", "pass", "pass"]
    assert sorted(page.name for page in forms["pages"].iterdir()) == ["anna.md", "ben.md", "carl.md", "dora.md"]
    assert "- expected: " in (forms["pages"] / "ben.md").read_text()


def test_a_later_run_checks_only_what_is_new(class_room, call, monkeypatch):
    looked = []
    before = grade.mark_submission
    monkeypatch.setattr(
        grade, "mark_submission", lambda each, *rest: looked.append(each.student.name) or before(each, *rest)
    )
    command = class_room / "in", "--json", class_room / "marks.json"
    first = call(grade, *command)
    assert looked == ["ben", "carl", "dora"]
    assert call(grade, *command) == first and len(looked) == 3
    (class_room / "in" / "carl" / "schedule.py").write_text(right("schedule") + MINE)
    call(grade, *command)
    assert looked[3:] == ["carl"]
    call(grade, *command, "--seed", 1)
    assert len(looked) == 7
    (class_room / "marks.json").write_text("my thesis")
    with pytest.raises(UserError, match="is not an earlier run's"):
        grade._known(class_room / "marks.json", {})
    (class_room / "other").mkdir()
    (class_room / "other" / "task01.py").write_text("x = 1")
    (class_room / "marks.json").unlink()
    call(grade, *command)
    monkeypatch.setattr(sys, "argv", ["grade", str(class_room / "other"), "--json", str(class_room / "marks.json")])
    with pytest.raises(UserError, match="contains the marks of"):
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
    stages = [{"stage": "identity", "status": "fail", "what": "<b>*x*</b>\n# A", "got": "=1+1"}]
    mark = Mark("=HYPERLINK()", "", "task01", "a`\n# B;=2", "fail", stages)
    Points().give(mark)
    table = forms.as_csv([mark], {"=x": "\t=y"})
    assert not re.search(r"(^|[;,\t\n])=", table, re.MULTILINE) and "'=HYPERLINK()," in table
    page = forms.feedback("#<x>", [mark], {})
    assert page.startswith("# \\#\\<x\\>") and "\\<b\\>\\*x\\*" in page
    assert re.findall(r"^#+ .*", page, re.MULTILINE) == ["# \\#\\<x\\>", "## task01: a property does not hold"]


def test_every_student_has_a_page_of_their_own_on_any_file_system():
    people = [("a+b", ""), ("a@b", ""), ("Two, G", ""), ("two; g", ""), ("Ann", "1"), ("Ann", "2"), ("w" * 255, "")]
    names = forms.page_names(people)
    assert len({name.casefold() for name in names.values()}) == len(people)
    assert all(len(name) < 100 and re.fullmatch(r"[\w .-]+", name) for name in names.values())


def graded():
    """Marks of three people: 6 of 9, 9 of 9, and one whom no export has."""
    found = []
    for name, number, holds in (("Ann Ek", "11", 6), ("Bo Ek", "12", 9), ("Cy", "", 0)):
        stages = [{"stage": stage, "status": "pass"} for stage in names_of("schedule")[:holds]]
        found.append(Mark(name, number, "task03" if number else "task02", f"{name}.py", "pass", stages))
        found[-1].points, found[-1].worth = float(holds), dict.fromkeys(map(str, range(9)), 1.0)
    return found


MOODLE = (  # https://docs.moodle.org/en/Assignment_activity#Offline_marking
    "\ufeffIdentifier,Full name,Email address,Status,Grade,Maximum Grade,Grade can be changed,"
    "Last modified (submission),Last modified (grade),Feedback comments\n"
    'Participant 11,Ann Ek,a@x,Submitted,,100.00,Yes,"Monday, 1 June",-,\n'
    "Participant 12,Bo Ek,b@x,Submitted,,100.00,Yes,-,-,\nParticipant 13,Di,d@x,-,,100.00,Yes,-,-,\n"
)
CANVAS = (  # https://community.canvaslms.com/t5/Instructor-Guide/How-do-I-import-grades-in-the-Gradebook/ta-p/807
    "Student,ID,SIS User ID,SIS Login ID,Section,Task 3 (77),Essay (78),Current Score\n"
    '    Points Possible,,,,,20,10,(read only)\n"Ek, Ann",11,s1,ann,A,,7,\n'
    '"Ek, Bo",12,s2,bo,A,,,\n"Di, D",13,s3,d,A,,,\n'
)


@pytest.mark.parametrize(
    ("fill", "export", "grades"),
    [(forms.moodle, MOODLE, ["66.67", "100.00", ""]), (forms.canvas, CANVAS, ["20", "13.33", "20.00", ""])],
)
def test_a_platforms_own_table_is_filled_by_number(tmp_path, fill, export, grades):
    (tmp_path / "export.csv").write_text(export, encoding="utf-8")
    text, unmatched = fill(tmp_path / "export.csv", graded())
    before, after = (list(csv.reader(io.StringIO(each.lstrip("\ufeff")))) for each in (export, text))
    column = before[0].index("Grade" if fill is forms.moodle else "Task 3 (77)")
    assert text.startswith("\ufeff") and unmatched == ["Cy"]
    assert [row[column] for row in after[1:]] == grades
    for row in [*before, *after]:
        del row[column]
    assert before == after


@pytest.mark.parametrize("fill", [forms.moodle, forms.canvas])
def test_another_table_than_the_platforms_is_one_line(tmp_path, fill):
    (tmp_path / "export.csv").write_text("name,points\nann,3\n")
    with pytest.raises(UserError, match=r"export\.csv: (no column|expected)"):
        fill(tmp_path / "export.csv", graded())


MASK = 'scores = torch.where(mask, scores, float("-inf"))'


@pytest.fixture(scope="module")
def zygote():
    with Zygote() as zygote:
        yield zygote


ONE_CAUSE = {  # what is wrong: old, new, the stage that it costs, stages that are not reached
    "no scale": (" * scale", "", "logits", 0),
    "no mask": (MASK, "scores = scores + 0", "causality", 0),
    "softmax along queries": ("F.softmax(scores, dim=-1)", "F.softmax(scores, dim=-2)", "causality", 0),
    "no positions": (" + self.wpe(positions)", " + 0 * self.wpe(positions)", "position", 1),
    "input() at the bottom": ("if __name__", "input('?')\nif __name__", "identity", 0),
    "no guard": ('if __name__ == "__main__":', "torch.ones(1, requires_grad=True).backward()\nif True:", "identity", 0),
    "generate without temperature": ("max_new_tokens, temperature=1.0):", "max_new_tokens):", "interface", 1),
}


@pytest.mark.parametrize("what", ONE_CAUSE)
def test_one_cause_is_charged_once(tmp_path, zygote, what):
    old, new, stage, unreached = ONE_CAUSE[what]
    code = right("task02")
    assert code.count(old) == 1
    (tmp_path / "my_task02.py").write_text(code.replace(old, new))
    stages = [result.as_dict() for result in check("task02", tmp_path / "my_task02.py", everything=True, zygote=zygote)]
    assert [each["stage"] for each in stages if each["status"] != "pass"] == [stage]
    mark = Mark("Ann", "", "task02", "", "fail", stages)
    Points().give(mark)
    assert mark.most - mark.points == 1 + unreached
    assert mark.notes == [f"{unreached} not reached"] * bool(unreached)


# Copies.


def hinted(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = ast.Name("Tensor", ast.Load())


def reordered(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.body.reverse()


def split(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return) and node.body[-1].value:
            node.body[-1:] = [
                ast.Assign([ast.Name("y", ast.Store())], node.body[-1].value),
                ast.parse("return y").body[0],
            ]


def padded(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body.insert(0, ast.parse("if False:\n    print(1, 2)").body[0])


def renamed(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("x", "B", "T", "C", "q", "k", "v", "heads", "wei"):
            node.id = f"my_{node.id}"


def other_numbers(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value > 3:
            node.value += 1


@pytest.mark.parametrize("edit", [hinted, reordered, split, padded, renamed, other_numbers])
@pytest.mark.parametrize("style", ["ng_video_lecture", "heads_loop"])
def test_a_copy_is_known_after_an_edit(style, edit):
    code = (ROOT / f"tests/cases/right/{style}/task06.py").read_text(encoding="utf-8")
    tree = ast.parse(code)
    edit(tree)
    edited = ast.unparse(ast.fix_missing_locations(tree))
    assert edited != ast.unparse(ast.parse(code))
    ((share, names),) = copies.groups({"a": ("task06", code), "b": ("task06", edited), "c": ("task05", code)})
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


def test_made_up_submissions_are_a_hundred_and_nobody_is_missing(tmp_path):
    from tools import submissions

    assert submissions.write(tmp_path / "all") >= 100
    found = collect(tmp_path / "all")
    assert any(each.late for each in found.submissions)
    assert {Path(each.name).suffix for each in found.submissions} >= {".py", ".ipynb"}
    hand_in(tmp_path / "more", submissions.more_forms(FILE))
    more = collect(tmp_path / "more")
    assert len(more.students) == 38 and len(more.submissions) == 38 and not more.left
