"""Write a hundred invented submissions of a course: python -m tools.submissions DIR

They are correct in several styles and wrong in many ways: copies, late and newer versions, zips, notebooks, files that
hang, files that cheat, and files that are not Python. Each student has a folder or a zip, or files are named as Moodle,
Canvas and Blackboard name them, with equal names, anonymous marking, clones and environments. `--report` marks them
twice, the second time next to busy processes, and prints the results.
"""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from common.machine import describe
from common.parser import Parser
from common.run import UserError, progress, run
from exercises import build
from tools.mutants import MUTANTS
from tools.styles import in_styles

RIGHT = {"ada": "task01", "ben": "task02", "cem": "task03", "dora": "task04", "emil": "task05", "fay": "task06"}
BUSY, JOBS = 8, 2  # processes next to the second marking, and of each
CHEATS = {
    "imports the official model": "from task03 import *\n",
    "ends the process with success": "import os\nos._exit(0)\n",
    "writes to the check's channel": "import os\nfor i in range(3, 20):\n    try: os.write(i, b'pass' * 100)\n"
    "    except OSError: pass\n",
    "prints a verdict": "print('pass        logits')\nprint('task03: all properties hold.')\n",
}
HANGS = {"loops for ever": "while True:\n    pass\n", "sleeps": "import time\ntime.sleep(10_000)\n"}


def write(folder: Path) -> int:
    """Write all; how many files (a zip's counted one by one)."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {}  # text or bytes
    for student, task in RIGHT.items():
        files[f"{student}/my_{task}.py"] = in_styles(task, build.source(task))["renamed"]
    for number, task in enumerate([*RIGHT.values(), "task07"]):
        styles = in_styles(task, build.source(task))
        for style in list(styles)[2:4]:
            files[f"right {number} {style}/{task}.py"] = styles[style]
    for number, mutant in enumerate(MUTANTS[:: max(1, len(MUTANTS) // 17)][:17]):
        files[f"Wrong Wim{number}_4{number:03}_assignsubmission_file_/my_{mutant.task}.py"] = mutant.text()
    files["copycat/task3.py"] = "# all my own work\n" + files["cem/my_task03.py"].replace("config", "settings")
    files[f"kimlee_1044_2051_my_{MUTANTS[0].task}.py"] = MUTANTS[0].text()
    files[f"kimlee_LATE_1044_2052_my_{MUTANTS[0].task}-1.py"] = files["ada/my_task01.py"] + "\n# again\n"
    files["Lou Reed_311_assignsubmission_file_task_2.py"] = files["ben/my_task02.py"] + "\n# Lou\n"
    for number, (what, code) in enumerate((CHEATS | HANGS).items()):
        files[f"odd {number}/task03.py"] = f"# {what}\n{code}" + ("" if number == 0 else build.source("task03"))
    files["starter/my_task04.py"] = build.starter("task04")
    files["syntax/my_task05.py"] = build.source("task05").replace("def forward(self, x):", "def forward(self, x)", 1)
    files["pieces/schedule.py"] = build.source("schedule").replace("progress", "share")
    files["pieces/mlp.py"] = build.source("mlp").replace("self.", "self.my_")
    files["book/my_task06.ipynb"] = notebook(files["fay/my_task06.py"])
    files["book/my_task01.ipynb"] = "{broken"
    files["none/essay.pdf"] = b"%PDF-1.7"
    files["none/my_task02.py"] = b"\0\1\2\xff"
    files["none/my_task03.py"] = ""
    files["none/thoughts.py"] = "x = 1\n"
    files |= more_forms(files["cem/my_task03.py"])
    zipped = {f"week/my_{RIGHT[name]}.py": files[f"{name}/my_{RIGHT[name]}.py"] for name in ("ada", "ben", "emil")}
    zipped = {name: f"{text}\n# zipped\n" for name, text in zipped.items()}
    files["zipped/week.zip"] = packed(zipped | {"week/notes.txt": "Done!"})
    files["zipped/bad.zip"] = b"PK\3\4 no zip"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return len(files) + 3  # of the zip's four


def more_forms(code: str) -> dict[str, Any]:
    """Forty files as platforms and students hand them out: each person's is told apart by a comment."""
    people = (f"{code}\n# {number}\n" for number in range(1000))
    files: dict[str, Any] = {}
    for number in range(8):
        files[f"Participant_{500 + number}_assignsubmission_file_/my_task03.py"] = next(people)
    for number in range(4):
        files[f"Sam Name_{600 + number}_assignsubmission_file_/task 3.py"] = next(people)
        files[f"namesam_{700 + number}_800_my_task03.py"] = next(people)
        files[f"anon_aB{number}xY_900_task3.py"] = next(people)
        files[f"HW 3_b{number}_attempt_2026-11-26-10-00-0{number}_my_task03.py"] = next(people)
        files[f"z{number}.zip"] = packed({"task03.py": next(people)})
    files["Who!/my_task03.py"], files["Who!Me/my_task03.py"] = next(people), next(people)
    files["clone/gpt/my_task03.py"] = next(people)
    for room in ("common", "check", "exercises"):
        files[f"clone/gpt/{room}/__init__.py"] = '"""A room."""\n'
    for task in ("task01", "task02", "task03"):
        files[f"clone/gpt/{task}.py"] = build.source(task)
        files[f"untouched {task}/{task}.py"] = build.source(task)
    files["capital/MY_TASK03.PY"], files["mailed/my_task03.py.txt"] = next(people), next(people)
    files["deep/hw.zip"] = packed({"week.zip": packed({"task03.py": next(people)})})
    files["vera/venv/task03.py"], files["vera/task03.py"] = next(people), next(people)
    return files


def packed(files: dict[str, Any]) -> bytes:
    """A zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def notebook(code: str) -> str:
    """A notebook of the code, a cell a definition, and a magic line."""
    cells = [{"cell_type": "markdown", "source": ["# Mine"]}, {"cell_type": "code", "source": ["%matplotlib inline\n"]}]
    cells += [{"cell_type": "code", "source": part.splitlines(True)} for part in code.split("\n\n\n")]
    return json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})


def grade(folder: Path, place: Path) -> tuple[list[list[str]], float]:
    """The rows of the table, without seconds, and how long it took; all forms are written to `place`."""
    place.mkdir()
    start = time.perf_counter()
    forms = [f"--{form}={place / name}" for form, name in (("csv", "marks.csv"), ("json", "marks.json"))]
    forms += [f"--feedback={place / 'pages'}", f"--jobs={JOBS}", "--seed=0"]
    line = [sys.executable, "-m", "check", "grade", str(folder), *forms]
    result = subprocess.run(line, cwd=build.ROOT, capture_output=True, text=True)
    if result.returncode not in (0, 1):
        raise UserError(f"grading ended with {result.returncode}: {result.stderr.strip()}")
    (place / "table.txt").write_text(result.stdout)
    with open(place / "marks.csv", encoding="utf-8-sig", newline="") as file:
        rows = [[value for key, value in row.items() if key != "seconds"] for row in csv.DictReader(file)]
    return rows, time.perf_counter() - start


def report() -> None:
    """Mark twice, the second time next to busy processes, and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = write(folder / "in")
        first, seconds = grade(folder / "in", folder / "alone")
        print((folder / "alone" / "table.txt").read_text())
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
        try:
            second, busy_seconds = grade(folder / "in", folder / "busy")
        finally:
            for other in others:
                other.kill()
                other.wait()
        graded = sum(row[2] != "" and row[3] != "missing" for row in first)
        people = len({(row[0], row[1]) for row in first if row[0]})
        print(f"{count} files: {graded} marks of {people} people; {sum(not row[0] for row in first)} files not graded")
        print(f"alone: {seconds:.0f} s, {seconds / graded:.1f} s a file with --jobs {JOBS}")
        print(f"next to {BUSY} busy processes: {busy_seconds:.0f} s, {busy_seconds / graded:.1f} s a file")
        print(f"the marks: {'the same' if first == second else 'NOT THE SAME'}")
        pages = len(list((folder / "alone" / "pages").iterdir()))
        print(f"written: marks.csv, marks.json, {pages} pages of feedback")
        print(f"# {os.cpu_count()} of {describe()}")
        if first != second:
            differing = [pair for pair in zip(first, second, strict=False) if pair[0] != pair[1]]
            raise UserError(f"the marks differ: {differing}")


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="write them there")
    parser.add_argument("--report", action="store_true", help="mark them twice instead")
    options = parser.parse_args()
    progress.where = "while it marked"
    if options.report:
        report()
    elif options.folder:
        print(f"{write(options.folder)} files")
    else:
        raise UserError("expected a folder, or --report (see --help)")


if __name__ == "__main__":
    run(main)
