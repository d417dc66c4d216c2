"""The process that has imported PyTorch and forks learners' processes, from the check's side."""

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from check.isolated import sandbox
from check.judge.result import Broken

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 120.0  # of wall time until PyTorch is there, on the busiest machine
MOST_FILES = 100  # before it is started again: sandlock keeps a file descriptor for each process that was forked
# Variables of the environment that a learner's process has, of all that there are, and those that are 1.
KEPT = ("PATH", "SYSTEMROOT", "WINDIR", "PATHEXT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
ONES = ("PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE")
END_SECONDS = 5.0  # of wall time until a process has ended that was asked to
NO_NUMPY = "ignore:Failed to initialize NumPy:UserWarning"  # PyTorch says so where it is absent
CAN_FORK = hasattr(os, "fork") and hasattr(socket, "send_fds")


class Zygote:
    """Starts learners' processes, one at a time, in folders of their own inside its own. Use as a context manager."""

    def __init__(self) -> None:
        from common import exercises  # here, where an error in a file is one line

        self.folder = Path(tempfile.mkdtemp(prefix="check-"))
        lib = self.folder / "lib"
        (lib / "check").mkdir(parents=True)
        shutil.copyfile(ROOT / "check" / "__init__.py", lib / "check" / "__init__.py")
        for package in ("check/isolated", "common"):
            shutil.copytree(ROOT / package, lib / package, ignore=shutil.ignore_patterns("__pycache__"))
        (lib / "exercises").mkdir()
        for name, file in exercises.FILES.items():
            front = f"{exercises.MARK}{exercises.parts(file)[0]}{exercises.MARK}"  # without texts and hints
            (lib / "exercises" / f"{name}.md").write_text(front, encoding="utf-8")
        if (ROOT / "input.txt").exists():
            shutil.copyfile(ROOT / "input.txt", lib / "input.txt")
        self.output: IO[bytes] = open(self.folder / "output", "w+b")  # noqa: SIM115
        self.server: subprocess.Popen | None = None  # or, where nothing can be forked, the learner's process
        self.ready = False
        self.busy = False  # with a learner's process
        self.said = b""
        self.control: socket.socket | None = None
        if CAN_FORK:
            self._launch()

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def ahead() -> "Zygote":
        """The one that was started while the check imported PyTorch itself, or another."""
        return AHEAD.pop() if AHEAD else Zygote()

    def _launch(self) -> None:
        self.control, theirs = socket.socketpair()
        self.said, self.ready, self.files = b"", False, 0
        with theirs:
            self.server = self._popen([], self.folder, stdin=theirs, stdout=subprocess.DEVNULL, stderr=self.output)

    def _popen(self, words: list[str], folder: Path, **streams: Any) -> subprocess.Popen:
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "USER": "learner",
            "PYTHONPATH": str(self.folder / "lib"),
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "CUDA_VISIBLE_DEVICES": "",
            **dict.fromkeys(ONES, "1"),
        }
        python = [sys.executable, "-P", "-W", NO_NUMPY, "-m", "check.isolated.server", sandbox.kind(), str(self.folder)]
        command = [*sandbox.command(self.folder), *python, *words]
        return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **streams)

    def start(self, order: dict, output: IO[bytes]) -> tuple[IO[bytes], IO[bytes]]:
        """Start a learner's process (see server.answer); the streams for requests and for answers, not buffered."""
        if not CAN_FORK:
            folder = Path(order["path"]).parent
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": output}
            self.server = self._popen([json.dumps(order)], folder, **streams)
            return self.server.stdin, self.server.stdout  # type: ignore[return-value]
        if self.server is None:
            self._launch()
        self.ready = self.ready or self._hear(START_SECONDS)["ready"]
        theirs, requests = os.pipe()
        answers, theirs_too = os.pipe()
        try:
            socket.send_fds(self.control, [json.dumps(order).encode()], [theirs, theirs_too, output.fileno()])  # type: ignore
            self.busy = True
        finally:
            os.close(theirs)
            os.close(theirs_too)
        for descriptor in (requests, answers):
            os.set_blocking(descriptor, False)
        return open(requests, "wb", buffering=0), open(answers, "rb", buffering=0)

    def _hear(self, seconds: float) -> dict:
        """The server's next line. Raises Broken where it has ended."""
        assert self.control is not None
        self.control.settimeout(seconds)
        try:
            while b"\n" not in self.said:
                part = self.control.recv(4096)
                if not part:
                    raise OSError("it has ended")
                self.said += part
        except OSError as error:
            last = (self.folder / "output").read_text(errors="replace").strip().rpartition("\n")[2] or str(error)
            raise Broken(f"the process that runs your file could not start: {last}") from error
        line, _, self.said = self.said.partition(b"\n")
        return json.loads(line)

    def end(self) -> int | None:
        """The exit code of the learner's process, whose streams are closed; None where it had to be killed."""
        if not CAN_FORK and self.server:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.server.wait(END_SECONDS)
        code = None
        if self.busy:
            with contextlib.suppress(Broken):
                code = int(self._hear(END_SECONDS)["ended"])
        self.files += 1
        if code != 0 or self.files == MOST_FILES or sandbox.holds_one_file():
            self.kill()
        self.busy = False
        return code

    def kill(self) -> None:
        """End the process that holds PyTorch with all that came of it; `start` starts another one."""
        self.busy = False
        if self.control:
            self.control.close()  # upon which it ends what it started, and itself
        if self.server:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.server.wait(END_SECONDS if CAN_FORK and self.ready else 0)
            for process in descendants(self.server.pid):  # where a file has stopped it
                with contextlib.suppress(OSError):
                    os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
            self.server.kill()
            self.server.wait()
        self.server = self.control = None


AHEAD: list[Zygote] = []


@dataclasses.dataclass
class Usage:
    """What a process and all that came of it use."""

    work: float = 0.0  # seconds of processor time
    delay: float = 0.0  # seconds for which the processor was busy with others
    memory: int = 0  # bytes that they share with nobody
    processes: int = 0


def descendants(root: int) -> list[int]:
    """A process and all that came of it (Linux)."""
    found = [root] if Path(f"/proc/{root}").exists() else []
    for process in found:
        for children in Path(f"/proc/{process}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def usage(root: int) -> Usage:
    """What a process and all that came of it, ended ones too, use; where that is unknown (no Linux), nothing."""
    total = Usage()
    for process in descendants(root):
        with contextlib.suppress(OSError, IndexError, ValueError):
            folder = Path("/proc", str(process))
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            pages = (folder / "statm").read_text().split()
            total.work += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            total.memory += (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")
            total.processes += 1
            total.delay += sum(int(each.read_text().split()[1]) for each in folder.glob("task/*/schedstat")) / 1e9
    return total
