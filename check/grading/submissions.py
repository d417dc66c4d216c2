"""The submissions: the files of a folder, of its subfolders and zip files, by student and task.

How platforms name files: docs/teaching.md; Moodle's folder may also stand before a file's name. If a folder and a file
name different students, the folder decides. A folder or zip that contains only such names, or folders of several
students, is the download of a class.
"""

import hashlib
import io
import os
import re
import stat
import tokenize
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from check.command.names import SUFFIXES, task_of
from check.grading.released import given
from check.isolated.notebook import code_in
from common.run import UserError

LARGEST = 2**20  # bytes of a program
LARGEST_FILE = 32 * 2**20  # of a file: a notebook holds pictures, too
LARGEST_ZIP = 64 * 2**20  # of a zip's files together, zips in it included
MOST = 5000  # files in a zip
DEEPEST = 3  # zips in zips
MOODLE = re.compile(r"^(?P<student>.+?)_(?P<id>\d+)_assignsubmission_[a-z]+(?:_(?P<name>.*))?$")
CANVAS = re.compile(
    r"^(?:anon_(?P<anon>\w{5})|(?P<student>[^_]+)(?P<late>_late)?_(?P<id>\d+))_(?:\d+_)*(?P<name>.*[^\d_].*)$",
    re.IGNORECASE,
)
BLACKBOARD = re.compile(r"^.+?_(?P<student>[^_]+)_attempt_(?P<when>[\d-]{19})(?:_(?P<name>.+)|\.txt)$")
PLATFORMS = MOODLE, CANVAS, BLACKBOARD
VERSION = re.compile(r"^(?P<stem>.+?)[- ]\(?(?P<version>\d{1,3})\)?$")
PASSED_OVER = {"__MACOSX", "__pycache__", "venv", "env", "site-packages", "node_modules", "Thumbs.db", "desktop.ini"}
ARCHIVES = (".rar", ".7z", ".gz", ".tgz", ".tar", ".xz", ".bz2")
OTHER, CLONED = "not Python, a notebook or a zip", "an unchanged copy of the repository"
CLONE = {"common", "check", "exercises"}  # folders of a copy of this repository


@dataclass(frozen=True)
class Student:
    """Who handed something in: a name, and the platform's number where there is one."""

    name: str
    id: str = ""


@dataclass(frozen=True)
class Submission:
    """A file of a student's for a task. `code` is Python; of a notebook, its cells."""

    student: Student
    task: str
    name: str  # the path below the folder; a zip is a folder in it
    code: str
    late: bool
    version: tuple  # what makes it newer than another
    place: str  # its path below the student's own folder
    content: bytes = field(repr=False)
    given: str = ""  # the repository's own file, or its starter: in words
    files: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)  # place → the student's own

    @property
    def sha256(self) -> str:
        """Of the code."""
        return hashlib.sha256(self.code.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass
class HandedIn:
    """All that a folder holds."""

    submissions: list[Submission]  # the newest of each student for each task
    left: dict[str, str]  # name → why it is not graded
    students: list[Student]


@dataclass(frozen=True)
class Found:
    """A file: its path in parts (zips are folders in it), and its bytes, or the reason why there are none."""

    parts: tuple[str, ...]
    content: bytes | str
    when: float

    @property
    def shown(self) -> str:
        """The path, printable."""
        return "/".join(printable(part)[-255:] for part in self.parts)


def collect(folder: Path, expected: str | None = None, one_student: bool = False) -> HandedIn:
    """The newest file of each student for each task, what is not graded and why, and everybody who handed in.

    `expected`: the task of files whose names hold none. `one_student`: the whole folder is one student's.
    """
    files = list(_files(folder))
    depth = 0 if one_student else _depth(files)
    handed_in = HandedIn([], {}, [])
    versions: dict[tuple, list[Submission]] = defaultdict(list)
    students: dict[Student, None] = {}
    others: dict[tuple[Student, str], list[str]] = defaultdict(list)  # student and why nothing is graded → names
    clones = _clones(files)
    own_files: dict[Student, dict[str, bytes]] = defaultdict(dict)  # for what a file of theirs imports
    for found in files:
        in_clone = any(found.parts[: len(clone)] == clone for clone in clones)
        student, late, when, name = _names(found.parts[depth:])
        if one_student:
            student = Student(folder.resolve().name)
        students[student] = None
        if isinstance(found.content, bytes) and found.parts[-1].endswith(".py") and len(found.parts) > depth + 1:
            own_files[student][_place(found.parts[depth + 1 :])] = found.content
        try:
            place = _place((*found.parts[depth + 1 : -1], name))
            new = _submission(found, student, late, when, place, None if in_clone else expected)
        except UserError as error:
            if not in_clone:
                handed_in.left[found.shown] = str(error)
                continue
            new = None
        if new is None or (in_clone and new.given):
            others[student, CLONED if in_clone else OTHER].append(found.shown)
        else:
            versions[student, new.task].append(replace(new, files=own_files[student]))
    for submissions in versions.values():
        _take_newest(handed_in, submissions)
    for submission in handed_in.submissions:
        _leave_out_imported(handed_in, submission)
    with_one = {each.student for each in handed_in.submissions}
    for (student, reason), names in others.items():
        if student not in with_one:
            handed_in.left[names[0]] = reason + f", and {len(names) - 1} more" * (len(names) > 1)
    for name in sorted(path.name for path in folder.iterdir() if path.is_dir() and not any(path.rglob("*"))):
        handed_in.left[f"{printable(name)}/"] = "an empty folder"
        students[_names((name, ""))[0]] = None
    handed_in.submissions.sort(key=lambda each: (each.student.name.lower(), each.student.id, each.task))
    handed_in.students = sorted(students, key=lambda student: (student.name.lower(), student.id))
    return handed_in


def _take_newest(handed_in: HandedIn, submissions: list[Submission]) -> None:
    """Of what a student handed in for a task: a starter or an official file counts only where nothing else is there."""
    own = [each for each in submissions if not each.given]
    newest = max(own or submissions, key=lambda each: each.version)
    handed_in.submissions.append(newest)
    for each in own:
        if each is not newest:
            handed_in.left[each.name] = f"an earlier version of {newest.name}"


def _leave_out_imported(handed_in: HandedIn, submission: Submission) -> None:
    """What a file imports is not listed among what is not graded."""
    top = submission.name.removesuffix(submission.place)
    for place in submission.files:
        if re.search(rf"\b{re.escape(Path(place).stem)}\b", submission.code):
            handed_in.left.pop(f"{top}{place}", None)


def printable(text: str) -> str:
    """A name without what moves a terminal's cursor, or what is not UTF-8."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace") if not text.isprintable() else text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# Files, in folders and zips


def _files(folder: Path) -> Iterator[Found]:
    """All files below a folder, and those in zips, in order of their names; hidden ones and environments are not."""
    for place, folders, names in os.walk(folder):
        within = Path(place).relative_to(folder).parts
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not _is_passed_over(name))
        for name in sorted(names):
            if not _is_passed_over(name):
                yield from _on_disk(Path(place, name), (*within, name))


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name in PASSED_OVER


def _on_disk(path: Path, parts: tuple[str, ...]) -> Iterator[Found]:
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            yield Found(parts, "not a regular file, or a link", 0.0)
        elif status.st_size > LARGEST_FILE and path.suffix.lower() != ".zip":
            yield Found(parts, f"larger than {LARGEST_FILE // 2**20} MiB", 0.0)
        elif path.suffix.lower() == ".zip":
            with open(path, "rb") as stream:
                yield from _in_zip(stream, parts, status.st_mtime, [LARGEST_ZIP])
        else:
            yield Found(parts, path.read_bytes() if _is_read(path.name) else b"", status.st_mtime)
    except OSError as error:
        yield Found(parts, f"cannot be read: {error.strerror}", 0.0)


def _is_read(name: str) -> bool:
    return name.lower().endswith((*SUFFIXES, ".py.txt"))


def _in_zip(stream, parts: tuple[str, ...], when: float, room: list[int], depth: int = 1) -> Iterator[Found]:
    """The files of a zip, and of zips in it; nothing is written anywhere. `room`: bytes that are left to read."""
    found: list[Found] = []
    try:
        with zipfile.ZipFile(stream) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MOST:
                raise ValueError("too many files")
            for entry in entries:
                inner = tuple(part for part in PurePosixPath(entry.filename.replace("\\", "/")).parts if part != "/")
                if not inner or any(_is_passed_over(part) for part in inner if part != ".."):
                    continue
                below = (*parts, *inner)
                packed = inner[-1].lower().endswith(".zip")
                if not packed and not _is_read(inner[-1]):
                    found.append(Found(below, b"", when))
                    continue
                content = archive.open(entry).read(room[0] + 1)
                room[0] -= len(content)
                if room[0] < 0:
                    raise ValueError("too large files")
                if packed and depth < DEEPEST:
                    found += _in_zip(io.BytesIO(content), below, when, room, depth + 1)
                else:
                    found.append(Found(below, "too many zips inside each other" if packed else content, when))
    except Exception as error:  # a damaged archive leads to many kinds
        yield Found(parts, f"cannot be unpacked: {printable(str(error)) or type(error).__name__}", 0.0)
    yield from found


def _depth(files: list[Found]) -> int:
    """How many parts of all paths are a class's download, and not a student.

    That is the only folder or zip, where platforms' names are in it, or folders of several people with one task.
    """
    depth = 0
    shortest = min((len(found.parts) for found in files), default=1)
    for place in range(shortest - 1):
        if len({found.parts[place] for found in files}) > 1:
            break
        inside: dict[str, set[str]] = defaultdict(set)
        for found in files:
            task = task_of(Path(found.parts[-1])) if len(found.parts) > place + 2 else None
            inside[found.parts[place + 1]] |= {task} if task else set()
        named = any(platform.match(_stem(part)) for platform in PLATFORMS for part in inside)
        tasks = [task for each in inside.values() for task in each]
        if named or len(tasks) > len(set(tasks)):
            depth = place + 1
    return depth


def _clones(files: list[Found]) -> list[tuple[str, ...]]:
    """The folders that are copies of this repository."""
    inside: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for found in files:
        for place in range(len(found.parts) - 1):
            if found.parts[place] in CLONE:
                inside[found.parts[:place]].add(found.parts[place])
    return [place for place, folders in inside.items() if folders == CLONE]


# Names


def _place(parts: tuple[str, ...]) -> str:
    """A path that lies below a folder, of names that any file system takes."""
    return "/".join(printable(part).replace("/", "_")[-100:] for part in parts if part not in ("..", "."))


def _stem(part: str) -> str:
    return part[:-4] if part.lower().endswith(".zip") else part


def _names(parts: tuple[str, ...]) -> tuple[Student, bool, str, str]:
    """Student, whether late, the attempt's time where a name holds one, and the file's own name."""
    first, name = parts[0], parts[-1]
    alone = len(parts) == 1
    for platform in PLATFORMS:
        match = platform.match(first if alone else _stem(first))
        if match:
            groups = match.groupdict()
            student = Student(printable(groups.get("student") or ""), groups.get("id") or groups.get("anon") or "")
            if student.name in ("", "Participant"):  # blind marking
                student = Student(f"Participant {student.id}", student.id)
            own_name = (groups["name"] or name) if alone else name
            return student, bool(groups.get("late")), groups.get("when") or "", own_name
    stem = first.rpartition(".")[0] if alone else _stem(first)
    if alone or stem != first:  # anna_task03.py or anna_task03.zip in the folder itself
        before = re.split(r"[_-]?(?:my[_-])?task[_ -]?\d", stem, maxsplit=1)[0]
        stem = before.strip("_- ") or stem
    return Student(printable(stem)), "late" in first.lower().split("_")[:2], "", name


def _submission(found: Found, student: Student, late: bool, attempt: str, place: str, expected: str | None):
    """A file as a student's submission; None for what nobody expects to be graded. Raises UserError with a reason."""
    if isinstance(found.content, str):
        raise UserError(found.content)
    if place.lower().endswith(".py.txt"):
        place = place[:-4]
    path, lower = Path(place), place.lower()
    if not lower.endswith(SUFFIXES):
        if lower.endswith(ARCHIVES):
            raise UserError("another kind of archive: unpack it first")
        if path.suffix.lower() == ".txt" and task_of(path):
            raise UserError("a text: rename it to .py to have it graded")
        return None
    stem, version = path.stem, 0
    numbered = VERSION.match(stem)
    if numbered and task_of(Path(numbered["stem"] + path.suffix.lower())):
        stem, version = numbered["stem"], int(numbered["version"])
    task = task_of(Path(stem + path.suffix.lower())) or expected
    if task is None:
        raise UserError("its name does not contain a task or piece")
    code = _code(found.content, path)
    newer = (attempt, version, found.when, "/".join(found.parts))
    place = str(path.with_name(stem + path.suffix.lower()))
    return Submission(student, task, found.shown, code, late, newer, place, found.content, given(task, code))


def _code(content: bytes, path: Path) -> str:
    """The Python of a file or notebook. Raises UserError where there is none."""
    if path.suffix.lower() == ".ipynb":
        code = code_in(content) if content.strip() else ""
    else:
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
            code = content.decode(encoding)
        except (SyntaxError, UnicodeDecodeError, LookupError) as error:
            raise UserError("not UTF-8 text") from error
        code = code.replace("\r\n", "\n")
    if "\0" in code:
        raise UserError("not a text")
    if len(code) > LARGEST:
        raise UserError(f"more than {LARGEST // 2**20} MiB of code")
    return code
