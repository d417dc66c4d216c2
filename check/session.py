"""The learner's process, seen from the check: start it, ask it, end it and all that it started."""

import contextlib
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

from check import protocol
from check.result import Broken, Failure, NotStarted

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
START_SECONDS = 120.0  # of wall time until PyTorch is there, on the busiest machine
WORK_SECONDS = 10.0  # of processor time for a question, on a machine that calibrates in CALIBRATION seconds
CALIBRATION = 0.03
IDLE_SECONDS = 15.0  # without any use of the processor: the code waits for something
LONGEST_SECONDS = 600.0  # of wall time for all questions
OUTPUT_LINES = 12
NO_NUMPY = "ignore:Failed to initialize NumPy:UserWarning"  # PyTorch says so where it is absent
NAME = "GPT_CHECK_SESSION"  # in the environment of all that the learner's code starts


class Session:
    """A learner's file in a process of its own, in a copy of its own. Use as a context manager."""

    def __init__(self, path: Path):
        self.path = path
        self.folder = Path(tempfile.mkdtemp(prefix="check-"))
        self.name = secrets.token_hex(8)
        self.started = False
        self.late = False  # killed for taking too long
        self.confined = False
        self.deadline = time.monotonic() + LONGEST_SECONDS
        self.seconds = WORK_SECONDS
        self.process: subprocess.Popen | None = None
        self.output: IO[bytes] | None = None

    def __enter__(self) -> "Session":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        copy = self.folder / self.path.name
        shutil.copyfile(self.path, copy)
        (self.folder / "check").mkdir()
        for name in ("__init__.py", "protocol.py", "sandbox.py", "worker.py"):
            shutil.copyfile(HERE / name, self.folder / "check" / name)
        shutil.copytree(ROOT / "common", self.folder / "common", ignore=shutil.ignore_patterns("__pycache__"))
        if (ROOT / "input.txt").exists():
            shutil.copyfile(ROOT / "input.txt", self.folder / "input.txt")
        self.output = open(self.folder / ".output", "w+b")  # noqa: SIM115
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {
            NAME: self.name,
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-W", NO_NUMPY, "-m", "check.worker", str(copy)],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.output,
            start_new_session=True,
        )
        greeting = self._receive(START_SECONDS, idle=START_SECONDS)
        self.started = True
        self.confined = bool(greeting["confined"])
        self.seconds = WORK_SECONDS * max(1.0, greeting["calibration"] / CALIBRATION)

    def __exit__(self, *_: object) -> None:
        streams: list = [self.output]
        if self.process:
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL) if hasattr(os, "killpg") else self.process.kill()
            self.process.wait()
            streams += [self.process.stdin, self.process.stdout]
        for stream in streams:
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()
        self._kill_leftovers()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill_leftovers(self) -> None:
        """Whatever else the learner's code started, told by its environment (Linux)."""
        mark = f"{NAME}={self.name}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)

    def ask(self, question: str, **arguments: Any) -> Any:
        """The answer to a question of worker.py.

        Raises Failure for an error in the learner's code, and where it ends, hangs or answers what was not asked;
        NotStarted for a part of a starter that is not written; Broken where the process ended through no fault of it.
        """
        assert self.process is not None
        identity = secrets.token_hex(8)
        request = {"id": identity, "question": question, "seconds": self.seconds, **arguments}
        try:
            protocol.send(self.process.stdin, request)  # type: ignore[arg-type]
        except OSError:
            self._ended()
        answer = self._receive(max(1.0, self.deadline - time.monotonic()))
        if answer.get("id") != identity:
            raise self._interference()
        if "error" in answer:
            self._explain(answer["error"], question)
        return answer.get("value")

    def _receive(self, seconds: float, idle: float = IDLE_SECONDS) -> dict:
        """The next message, waiting so long for its beginning."""
        assert self.process is not None and self.process.stdout is not None
        if os.name == "nt":  # no select on pipes there, and no limit in processor time
            clock = threading.Timer(min(seconds, START_SECONDS), self._too_long)
            clock.daemon = True
            clock.start()
        until, used, used_at = time.monotonic() + seconds, -1.0, time.monotonic()
        while os.name != "nt" and not select.select([self.process.stdout], [], [], 0.5)[0]:
            now, work = time.monotonic(), _seconds_used(self.process.pid)
            if work > used + 0.01:
                used, used_at = work, now
            if now - used_at > idle or now > until:
                raise Failure(
                    what="the code comes to an end and returns",
                    expected="an answer",
                    got=f"it has waited for {now - used_at:.0f} seconds without computing" if now < until else "none",
                    question="Does it wait for input, a lock, a sleep or another process?",
                )
        try:
            return protocol.receive(self.process.stdout)  # type: ignore[arg-type]
        except EOFError:
            self._ended()
        except (ValueError, KeyError, TypeError, UnicodeDecodeError, RecursionError):
            pass
        finally:
            if os.name == "nt":
                clock.cancel()
        raise self._interference()

    def _too_long(self) -> None:
        self.late = True
        if self.process:
            self.process.kill()

    def _interference(self) -> Failure:
        return Failure(
            what="the file leaves the check's own channel alone",
            expected="an answer to the question",
            got="something else",
            question="Which line writes to a file descriptor that the file did not open?",
        )

    def _ended(self) -> None:
        """Say why the process is gone."""
        assert self.process is not None
        code = self.process.wait()
        if not self.started:
            reason = self.printed().rpartition("\n")[2] or f"exit code {code}"
            raise Broken(f"the process that runs your file could not start: {reason}")
        if code == -signal.SIGKILL:
            raise Broken("the process that runs your file was killed from outside, or by the system for lack of memory")
        if self.late or (hasattr(signal, "SIGXCPU") and code == -signal.SIGXCPU):
            raise Failure(
                what="the code comes to an end and returns",
                expected="an answer",
                got=f"none after {self.seconds:.0f} seconds of processor time",
                question="Which loop does not end, or does far more work than it needs?",
            )
        raise Failure(
            what="the code comes to an end and returns",
            expected="an answer",
            got=f"the program ended itself, with code {code}",
            question="What ends the whole program: exit(), os._exit(), a crash in a library?",
        )

    def _explain(self, error: dict, question: str) -> None:
        """Raise what an error in the learner's code means."""
        if error["not_started"]:
            raise NotStarted(harmless(error["message"]) or "NotImplementedError")
        if error["trained"]:
            raise Failure(
                what="importing does not train",
                expected="definitions alone",
                got="a backward pass during the import",
                question='Does the training stand in main(), under if __name__ == "__main__"?',
            )
        where = f" ({self.path.name}, line {error['line']})" if error["line"] else ""
        raise Failure(
            what="the code runs" if question == "load" else f"the code runs ({question.replace('_', ' ')})",
            expected="no error",
            got=f"{error['kind']}: {harmless(error['message'])}{where}",
            question=question_for(error),
            shapes=error["shapes"],
        )

    def printed(self) -> str:
        """The last lines that the learner's code printed, made harmless for a terminal."""
        with contextlib.suppress(OSError):
            text = (self.folder / ".output").read_bytes()[-20_000:].decode("utf-8", "backslashreplace")
            lines = [harmless(line) for line in text.splitlines() if line.strip()]
            return "\n".join(lines[-OUTPUT_LINES:])
        return ""


def harmless(text: str) -> str:
    """Text without the codes that move a terminal's cursor or change its colours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:500]


def question_for(error: dict) -> str:
    """The question that an error of this kind asks."""
    kind, message = error["kind"], error["message"]
    if kind in ("SyntaxError", "IndentationError", "TabError"):
        return "What does Python expect on this line, or at the end of the one before?"
    if kind in ("ModuleNotFoundError", "ImportError"):
        return "Is this module installed, or does it stand in another file? The check runs your one file, with common/."
    if kind == "NameError":
        return "Where is this name defined, and is it spelled alike in both places?"
    if kind == "AttributeError":
        return "Which object has this attribute, and is it assigned in __init__?"
    if kind == "TypeError" and "argument" in message:
        return "Which arguments does the definition take, and which does the call give?"
    if kind in ("BdbQuit", "EOFError"):
        return "The check has no terminal: what does the program wait for?"
    if kind == "PermissionError":
        return "Which file outside its own folder does the program open?"
    if kind in ("MemoryError", "RecursionError"):
        return "What grows without end?"
    if kind == "SystemExit":
        return "What ends the program when it is imported or called?"
    if kind in ("IndexError", "KeyError"):
        return "Which index is asked for, and how many are there?"
    if kind == "RuntimeError" and any(word in message for word in ("size", "shape", "dimension")):
        return "Which shape has each tensor on that line, and which axes must agree?"
    return "Which value, and which shape, has each name on that line?"


def _seconds_used(process: int) -> float:
    """Processor time of a process; where that is unknown, the time of day, which also passes."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return time.monotonic() / 20
