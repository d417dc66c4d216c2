"""Check a file at every save, with keys for other commands, until q or Ctrl-C."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from check.command import compare
from check.command.check_file import advise, level_of_hint, readable, results_of, show, summary, text_of
from check.command.names import own_files
from check.command.start import write
from check.command.state import State, digest
from check.judge.checking import verdict
from check.judge.result import Result
from check.judge.zygote import ROOT, Zygote
from common.run import UserError, progress
from common.terminal import keyboard_without, say
from exercises.catalogue import TASKS

POLL_SECONDS = 0.5  # notices of changes fail on network drives and in WSL
WINDOWS_PREFIXES = ("\0", "\xe0")  # of the code of an arrow or F1, which is a letter
KEYS = "Keys: h hint, n next task, r run, c compare with the official file, q quit."


class Watch:
    """The file that is watched, and what the last check of it found."""

    def __init__(self, task: str, file: Path, options, zygote: Zygote | None) -> None:
        self.options, self.zygote = options, zygote
        self.turn_to(task, file)

    def turn_to(self, task: str, file: Path) -> None:
        """Watch this file."""
        self.task, self.file, self.seen = task, file, ""
        self.before: list[Result] | None = None
        progress.where = f"while it watched {file}"
        say(f"Watching {file}: the check runs at every save.")

    def check_if_saved(self) -> None:
        """Check the file if it was saved, and show what changed since the check before."""
        now = digest(self.file)
        if not now or now == self.seen:  # some editors take the file away for a moment
            return
        self.seen = now
        if self.before is not None:
            say(f"\n{time.strftime('%H:%M:%S')} {self.file}, what changed:")
        try:
            readable(self.file)
            results = show(self.task, results_of(self.task, self.file, self.options, self.zygote), self.before or [])
        except UserError as error:
            say(str(error))
            return
        same = self.before is not None and verdict(results) == verdict(self.before)
        say("Nothing changed." if results == self.before else summary(self.task, results, self.file))
        State().note(self.task, self.file, results, verdict(results))
        if not same:
            advise(self.task, self.file, results)
        self.before = results

    def press(self, key: str | None) -> None:
        """Do what a key asks for; all others do nothing."""
        actions = {"h": self.hint, "n": self.go_on, "r": self.run, "c": self.compare}
        try:
            if key in actions:
                actions[key]()
        except UserError as error:
            say(str(error))

    def hint(self) -> None:
        level = level_of_hint(self.task, self.file, self.before or [])
        say(f"Hint {level}: {State().hint(self.task, level, self.file)}")

    def go_on(self) -> None:
        if self.task not in TASKS[:-1]:
            raise UserError(f"No task follows {self.task}.")
        following, folder = TASKS[TASKS.index(self.task) + 1], State().folder
        self.turn_to(following, own_files(folder).get(following) or write(following, folder))

    def run(self) -> None:
        words = [sys.executable, str(ROOT / "check"), "run", str(self.file)]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        try:
            process.wait()
        except KeyboardInterrupt:  # is the run's
            process.wait()
        say(f"Watching {self.file}.")

    def compare(self) -> None:
        say(compare.compare(self.task, text_of(self.file)).rstrip("\n"), hanging=4)


def watch(task: str, file: Path, options) -> None:
    """Check at every save, and do what is asked in between; until Ctrl-C, or q on a terminal."""
    with Zygote.ahead() as zygote, _keys() as has_keys:
        watched = Watch(task, file, options, zygote)
        say(KEYS if has_keys else "Ctrl-C ends it.")
        wait: Callable[[float], str | None] = _pressed if has_keys else time.sleep
        while True:
            watched.check_if_saved()
            key = wait(POLL_SECONDS)
            if key == "q":
                return
            watched.press(key)


@contextmanager
def _keys() -> Iterator[bool]:
    """Inside, keys come without Enter; whether they do."""
    with keyboard_without("ICANON", "ECHO") as is_ready:
        yield is_ready or (os.name == "nt" and sys.stdin is not None and sys.stdin.isatty())


def _pressed(seconds: float) -> str:
    """The key that is pressed meanwhile, or none, as for arrows and others of several codes; q without a terminal."""
    return (_of_windows if sys.platform == "win32" else _of_posix)(seconds)


def _of_windows(seconds: float) -> str:
    import msvcrt

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if msvcrt.kbhit():  # type: ignore[attr-defined, unused-ignore]
            key = msvcrt.getwch()  # type: ignore[attr-defined, unused-ignore]
            if key not in WINDOWS_PREFIXES:
                return key.lower()
            msvcrt.getwch()  # type: ignore[attr-defined, unused-ignore]
            return ""
        time.sleep(0.05)
    return ""


def _of_posix(seconds: float) -> str:
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return ""
    key = os.read(sys.stdin.fileno(), 1)
    if key == b"\x1b" and select.select([sys.stdin], [], [], 0)[0]:
        os.read(sys.stdin.fileno(), 16)
    return key.decode("ascii", "ignore").lower() or "q" * (not key)
