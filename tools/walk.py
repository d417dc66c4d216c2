"""Record sessions with tasks 1 to 3 and with a change of task 9, and screens: python -m tools.walk [NAME ...]

Works in a fresh copy of the repository, in a new terminal, and writes docs/logs/walk.txt, walk_change.txt and
screens.txt: each command, the contents of the screen, and in parentheses the edits between two commands. Screens are a
failure, the table, a watched file, attention and the help, at 60, 80 and 120 columns.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from common.machine import describe
from common.parser import Parser
from common.run import progress, run
from exercises import build
from exercises.catalogue import TASKS

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "logs"
COPIED = ["check", "common", "exercises", "studies", "variants", "docs/logs", "input.txt"]
WIDTHS = (60, 80, 120)
SCREENS: dict[str, tuple[tuple[str, str], ...]] = {  # command → what is typed, each after a text
    "python -m check my_task03.py": (),
    "python -m check": (),
    "python -m check --watch my_task03.py": (("hint 1\r\n", "h"), ("About causality", "q")),
    "python -m check look my_task02.py --seconds 5": (),
    "python -m check --help": (),
    "python task03.py --help": (),
}
MASKED = 'scores = torch.where(mask, scores, float("-inf"))'
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=WALKS, default=[*WALKS], help=", ".join(WALKS))
    progress.where = "while it recorded"
    for each in parser.parse_args().names:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            copy_repository(folder)
            lines = [*WALKS[each](folder), "", f"# {describe()}"]
        place = LOGS / f"{each}.txt"
        place.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{place.relative_to(ROOT)}: {len(lines)} lines")


def copy_repository(folder: Path) -> None:
    """Copy what a learner needs."""
    for part in [*COPIED, *(f"{task}.py" for task in TASKS)]:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        copy(ROOT / part, folder / part)


def walk(folder: Path):
    """The lines of the recording."""
    show = partial(shown, folder)

    def edit(task: str, text: str, what: str) -> str:
        (folder / f"my_{task}.py").write_text(text, encoding="utf-8")
        return f"\n({what})"

    official = {task: build.source(task) for task in ("task01", "task02", "task03")}
    yield show("python -m check").lstrip("\n")
    yield show("python -m check start task01")
    yield show("sed -n 1,24p my_task01.py")
    yield show("python -m check my_task01.py")
    blind = changed(official["task01"], MASKED, "scores = scores")
    yield edit("task01", blind, "attention() is written, and so is the class; the mask is forgotten")
    yield show("python -m check 1")
    yield show("python -m check task01 --hint 2")
    yield edit("task01", renamed(official["task01"]), "the mask is there")
    yield show("python -m check 1")
    yield show("python -m check run 1")
    yield show("python -m check look 1 --seconds 5")
    yield show("python -m check start task02 --mine")
    yield show("sed -n 20,28p my_task02.py")
    two = renamed(official["task02"])
    one_head = changed(two, "view(B, T, self.n_head, -1).transpose(1, 2)", "view(B, self.n_head, T, -1)")
    yield edit("task02", one_head, "heads are cut with view alone")
    yield show("python -m check 2")
    yield edit("task02", two, "first view, then transpose")
    yield show("python -m check 2")
    yield show("python -m check")
    yield show("python -m check start task03 --mine")
    yield edit("task03", renamed(official["task03"]), "the new class is written, and GPT uses it")
    yield show("python -m check my_task03.py")
    yield show("python -m check my_task03.py --compare | head -20")
    yield show("python -m check")


def walk_change(folder: Path):
    """The lines of the recording of SwiGLU: first alone, then as task 9."""
    show, mine = partial(shown, folder), folder / "my_swiglu.py"
    written = renamed(build.source("swiglu")).replace("self.narrow", "self.down_proj")
    yield show("python -m check start swiglu").lstrip("\n")
    yield show("sed -n 1,20p my_swiglu.py")
    yield show("python -m check my_swiglu.py")
    yield show("python -m check swiglu --hint 1")
    product = "F.silu(self.gate(x)) * self.widen(x)"
    mine.write_text(changed(written, product, product.replace("*", "+")), encoding="utf-8")
    yield "\n(the class is written; the two meet in a sum)"
    yield show("python -m check my_swiglu.py")
    mine.write_text(written, encoding="utf-8")
    yield "\n(a product)"
    yield show("python -m check my_swiglu.py")
    yield show("cp my_swiglu.py my_task09.py")
    yield show("python -m check task09 my_task09.py")
    capped = "* scale\n    scores = 5 * torch.tanh(scores / 5)  # (…, T, T)"
    other = changed(build.source("task09_rope"), "* scale  # (…, T, T)", capped)
    mine.with_name("my_task09.py").write_text(other, encoding="utf-8")
    yield "\n(another change, of which the check knows nothing: scores of at most 5)"
    yield show("python -m check task09 my_task09.py")
    yield show("python -m check run 9 --steps 20")


def shown(folder: Path, command: str) -> str:
    """A command and its screen."""
    return f"\n$ {command}\n{screen(command, folder)}"


def changed(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


def screens(folder: Path, widths: tuple[int, ...] = WIDTHS):
    """The lines of all screens of some widths."""
    for width in widths:
        (folder / ".check.json").unlink(missing_ok=True)
        blind = changed(build.source("task03"), MASKED, "scores = scores")
        (folder / "my_task02.py").write_text(renamed(build.source("task02")), encoding="utf-8")
        (folder / "my_task03.py").write_text(blind, encoding="utf-8")
        for command, keys in SCREENS.items():
            yield f"== {width} columns: $ {command}\n\n{screen(command, folder, width, keys)}\n"


WALKS = {"walk": walk, "walk_change": walk_change, "screens": screens}


def renamed(text: str) -> str:
    """With names of one's own."""
    return text.replace("self.lm_head", "self.output").replace("self.qkv", "self.c_attn").replace("self.key", "self.k")


def screen(command: str, folder: Path, columns: int = 100, keys: tuple[tuple[str, str], ...] = ()) -> str:
    """What a terminal shows of a command once it has ended: lines that were drawn over are gone.

    `keys`: pairs of a text and what is typed once the text was shown, in order. Not for Windows.
    """
    import fcntl
    import pty
    import termios

    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "40", "TERM": "xterm", "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal
    )
    os.close(slave)
    before = shown = b""
    with contextlib.suppress(OSError):  # what Linux says at the end
        while part := os.read(master, 65536):
            shown += part
            if keys and keys[0][0].encode() in shown:
                (_, key), *rest = keys
                keys, before, shown = tuple(rest), before + shown, b""
                os.write(master, key.encode())
    os.close(master)
    process.wait()
    text = (before + shown).decode("utf-8", "replace").replace("\r\n", "\n")
    lines = [line.rpartition("\r")[2] for line in text.split("\n")]
    return "\n".join(CODES.sub("", line).rstrip() for line in lines).rstrip("\n")


if __name__ == "__main__":
    run(main)
