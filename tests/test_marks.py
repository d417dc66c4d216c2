"""Marks, and the forms in which platforms take them."""

import csv
import io
import json
import re

from check.grading import forms, grade
from check.grading.marks import Mark, Points, names_of
from check.judge.checking import check
from common.run import UserError
from exercises import build
from tests.lessons import MINE, hand_in, right
from tools.mutants import MUTANTS

import pytest

pytestmark = pytest.mark.usefixtures("unconfined")


@pytest.fixture
def class_room(tmp_path):
    copy = right("schedule").replace("warmup_iters", "rise")
    wrong = next(mutant for mutant in MUTANTS if mutant.task == "schedule").text()
    hand_in(tmp_path / "in", {"anna/task01.py": build.starter("task01"), "ben/schedule.py": wrong})
    hand_in(tmp_path / "in", {"carl/schedule.py": right("schedule"), "dora_late_1_2_schedule.py": copy})
    hand_in(tmp_path / "in", {"dora_late_1_2_essay.pdf": b"%PDF"})
    (tmp_path / "points.toml").write_text("late = 0.5\n[default]\nidentity = 0\n[schedule]\ninterface = 3\n")
    return tmp_path


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_folder_is_marked_in_every_form(class_room, call, jobs):
    forms = {name: class_room / name for name in ("marks.csv", "marks.json", "pages")}
    flags = ["--csv", forms["marks.csv"], "--json", forms["marks.json"], "--feedback", forms["pages"], "--jobs", jobs]
    code, out, err = call(grade, class_room / "in", "--points", class_room / "points.toml", *flags)
    assert (code, err) == (0, "")
    table = [line.split() for line in out.partition("\n\n")[0].splitlines()]
    rows = ["anna task01 not", "ben schedule fail", "carl schedule pass", "dora schedule pass"]
    assert [" ".join(row[:3]) for row in table[1:]] == rows
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
    with pytest.raises(UserError, match="contains the marks of"):
        call(grade, class_room / "other", "--json", class_room / "marks.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "not TOML"), ("late = 2", "a share"), ("[task99]\nlogits = 1", "task99"),
        ("[task01]\nlogit = 1", "logit"), ("[task01]\nlogits = -1", "a number from 0"),
        ("[task01]\nlogits = true", "a number"), ("task01 = 3", "task01"),
    ],
)  # fmt: skip
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
    (tmp_path / "export.csv").write_text(export.replace("\n", "\n\n") + "\n", encoding="utf-8")  # as a spreadsheet may
    assert fill(tmp_path / "export.csv", graded()) == (text, unmatched)


@pytest.mark.parametrize("fill", [forms.moodle, forms.canvas])
def test_another_table_than_the_platforms_is_one_line(tmp_path, fill):
    (tmp_path / "export.csv").write_text("name,points\nann,3\n")
    with pytest.raises(UserError, match=r"export\.csv: (no column|expected)"):
        fill(tmp_path / "export.csv", graded())


MASK = 'scores = torch.where(mask, scores, float("-inf"))'


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
