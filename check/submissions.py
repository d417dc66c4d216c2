"""What was handed in: the files of a folder, of its subfolders and zips, by student and task.

Names as platforms write them are understood:
  a folder for each student   anna/my_task03.py, anna/week1.zip
  Moodle                      Anna Ek_12345_assignsubmission_file_/my_task03.py, or the same before a file's name
  Canvas                      ekanna_late_1010_20456_my_task03-1.py: LATE where it was, -1 and up for a new version
"""

import hashlib
import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from check.loading import named_in
from check.names import SUFFIXES, task_of
from check.notebook import code_in
from common.run import UserError

LARGEST = 2**20  # bytes of a program
LARGEST_ZIP = 64 * 2**20  # bytes of a zip's files together
MOST = 1000  # files in a zip
MOODLE = re.compile(r"^(?P<student>.+?)_\d+_assignsubmission_\w+?_(?P<name>.*)$")
CANVAS = re.compile(r"^(?P<student>[^_]+)_(?P<late>late_)?(?:\d+_)+(?P<name>.+)$", re.IGNORECASE)
VERSION = re.compile(r"^(?P<stem>.+?)[- ]\(?(?P<version>\d{1,3})\)?$")
IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Submission:
    """A file of a student's for a task. `code` is Python, of a notebook its cells."""

    student: str
    task: str
    name: str  # the path below the folder; a file in a zip: zip!file
    code: str
    late: bool
    version: int
    when: float  # modified, seconds
    file: str  # the name that the check is to see, below the folder or zip that it came in
    others: tuple[tuple[str, bytes], ...] = ()  # names and contents of the files that came with it

    @property
    def sha256(self) -> str:
        """Of the code, and of the files that it can import."""
        return hashlib.sha256(repr((self.code, *self.others) if self.others else self.code).encode()).hexdigest()


@dataclass(frozen=True)
class Found:
    """A file with a name: bytes, or the reason why there are none."""

    name: str
    content: bytes | str
    when: float


def collect(folder: Path) -> tuple[list[Submission], dict[str, str]]:
    """The newest file of each student for each task; and what is not graded: name → reason."""
    submissions: dict[tuple[str, str], Submission] = {}
    empty = [path.name for path in folder.iterdir() if path.is_dir() and not any(path.rglob("*"))]
    left: dict[str, str] = {f"{name}/": "an empty folder" for name in sorted(empty)}
    everything = list(_files(folder))
    for found in everything:
        try:
            new = _submission(found)
        except UserError as error:
            left[found.name] = str(error)
            continue
        key = new.student, new.task
        old = submissions.get(key)
        newest = new if old is None or (new.version, new.when, new.name) > (old.version, old.when, old.name) else old
        for other in (old, new):
            if other is not None and other is not newest:
                left[other.name] = f"an earlier version of {newest.name}"
        submissions[key] = newest
    complete = [_with_others(each, everything, left) for each in submissions.values()]
    return sorted(complete, key=lambda each: (each.student.lower(), each.task)), left


def _with_others(each: Submission, everything: list[Found], left: dict[str, str]) -> Submission:
    """A submission with the .py files of the student's folder or zip; those that it imports are no longer `left`."""
    place = _place(each.name)
    others = {
        found.name.removeprefix(place): found.content
        for found in everything
        if place and found.name.startswith(place) and found.name != each.name and isinstance(found.content, bytes)
    }
    others = {name: content for name, content in others.items() if name.endswith(".py") and _is_inside(name)}
    named = named_in(each.code.encode()).union(*(named_in(content) for content in others.values()))
    used = {name: content for name, content in others.items() if set(PurePosixPath(name).with_suffix("").parts) & named}
    for name in used:
        left.pop(place + name, None)
    return replace(each, others=tuple(sorted(used.items())))


def _place(name: str) -> str:
    """The student's folder or zip, with what separates it from the names in it; "" for a file by itself."""
    outer, mark, _ = name.rpartition("!")
    return outer + mark if mark else "/".join(name.split("/")[:1]) + "/" if "/" in name else ""


def _is_inside(name: str) -> bool:
    return ".." not in PurePosixPath(name).parts and not name.startswith("/") and "\\" not in name


def _files(folder: Path) -> Iterator[Found]:
    """All files below a folder, and those in zips, in order of their names."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name in IGNORED or "__MACOSX" in name or "__pycache__" in name:
            continue
        try:
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                yield Found(name, "not a regular file, or a link", 0.0)
            elif path.suffix.lower() == ".zip":
                yield from _in_zip(path, name)
            elif path.stat().st_size > LARGEST and path.suffix in SUFFIXES:
                yield Found(name, f"larger than {LARGEST // 2**20} MiB", 0.0)
            else:
                content = path.read_bytes() if path.suffix in SUFFIXES else b""
                yield Found(name, content, path.stat().st_mtime)
        except OSError as error:
            yield Found(name, f"cannot be read: {error.strerror}", 0.0)


def _in_zip(path: Path, name: str) -> Iterator[Found]:
    """The files of a zip, read without being written anywhere."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MOST or sum(entry.file_size for entry in entries) > LARGEST_ZIP:
                yield Found(name, "a zip of too many or too large files", 0.0)
                return
            for entry in entries:
                inner = f"{name}!{entry.filename}"
                if PurePosixPath(entry.filename).name in IGNORED or "__MACOSX" in inner:
                    continue
                if entry.file_size > LARGEST:
                    yield Found(inner, f"larger than {LARGEST // 2**20} MiB", 0.0)
                else:
                    yield Found(inner, archive.read(entry), path.stat().st_mtime)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError, OSError) as error:
        yield Found(name, f"cannot be unpacked: {error}", 0.0)


def _submission(found: Found) -> Submission:
    """A file as a student's submission. Raises UserError with the reason why it is none."""
    if isinstance(found.content, str):
        raise UserError(found.content)
    outer, _, inner = found.name.partition("!")
    path = PurePosixPath(inner or outer)
    student, late, version, name = _names(PurePosixPath(outer), path)
    if path.suffix.lower() not in SUFFIXES:
        raise UserError("not Python, a notebook or a zip")
    task = task_of(Path(name))
    if task is None:
        raise UserError("its name holds no task or piece")
    if not found.content.strip():
        raise UserError("empty")
    inside = found.name.removeprefix(_place(found.name))
    file = PurePosixPath(inside).with_name(f"{Path(name).stem}.py") if _is_inside(inside) else f"{Path(name).stem}.py"
    return Submission(student, task, found.name, _code(found.content, path), late, version, found.when, str(file))


def _names(outer: PurePosixPath, path: PurePosixPath) -> tuple[str, bool, int, str]:
    """Student, whether late, version, and the file's own name."""
    late, version, name, student = False, 0, path.name, ""
    first = outer.parts[0] if len(outer.parts) > 1 else ""
    if first:
        student = first
    for part, of_file in ((first, False), (outer.name, True)):
        moodle = MOODLE.match(part)
        canvas = CANVAS.match(part) if of_file and not first else None
        match = moodle or canvas
        if match:
            student = match["student"]
            late = late or bool(canvas and canvas["late"])
            if of_file and path == outer:
                name = match["name"]
    if "late" in outer.name.lower().split("_")[:2]:
        late = True
    stem, suffix = Path(name).stem, Path(name).suffix
    numbered = VERSION.match(stem)
    if numbered and task_of(Path(numbered["stem"] + suffix)):
        version, stem = int(numbered["version"]), numbered["stem"]
    if not student:  # anna_task03.py in the folder itself
        before = re.split(r"[_-]?(?:my[_-])?task[_ -]?\d", stem, maxsplit=1)[0]
        student = before.strip("_- ") or stem
    return student, late, version, stem + suffix


def _code(content: bytes, path: PurePosixPath) -> str:
    if path.suffix.lower() == ".ipynb":
        return code_in(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("not UTF-8 text") from error
    if "\0" in text:
        raise UserError("not a text")
    return text
