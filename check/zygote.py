"""The process that has imported PyTorch, from which learners' processes are forked; seen from the check."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from check.result import Broken

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
START_SECONDS = 120.0  # of wall time until PyTorch is there, on the busiest machine
SHARED = (
    "__init__",
    "loading",
    "notebook",
    "protocol",
    "sandbox",
    "server",
    "worker",
)  # modules a learner's process has
NO_NUMPY = "ignore:Failed to initialize NumPy:UserWarning"  # PyTorch says so where it is absent
CAN_FORK = hasattr(os, "fork") and hasattr(socket, "send_fds")


class Zygote:
    """Starts learners' processes, one at a time, in folders of their own inside its own. Use as a context manager."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="check-"))
        lib = self.folder / "lib"
        (lib / "check").mkdir(parents=True)
        for name in SHARED:
            shutil.copyfile(HERE / f"{name}.py", lib / "check" / f"{name}.py")
        shutil.copytree(ROOT / "common", lib / "common", ignore=shutil.ignore_patterns("__pycache__"))
        if (ROOT / "input.txt").exists():
            shutil.copyfile(ROOT / "input.txt", lib / "input.txt")
        self.output: IO[bytes] = open(self.folder / "output", "w+b")  # noqa: SIM115
        self.server: subprocess.Popen | None = None
        self.process: subprocess.Popen | int | None = None  # the learner's
        self.ready = False
        self.said = b""
        self.control: socket.socket | None = None
        if CAN_FORK:
            self.control, theirs = socket.socketpair()
            with theirs:
                self.server = self._popen([], self.folder, theirs, self.output)

    def __enter__(self) -> "Zygote":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.control:
            self.control.close()
        if self.server:
            self.server.kill()
            self.server.wait()
        self.output.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _popen(self, words: list[str], folder: Path, stdin, stderr, stdout=subprocess.DEVNULL) -> subprocess.Popen:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment |= {
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": str(self.folder / "lib"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TORCHDYNAMO_DISABLE": "1",
            "TORCH_COMPILE_DISABLE": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-P", "-W", NO_NUMPY, "-m", "check.server", str(self.folder), *words],
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def start(self, order: dict, output: IO[bytes]) -> tuple[IO[bytes], IO[bytes]]:
        """Start a learner's process (see server.answer); the streams for requests and for answers."""
        if not CAN_FORK:
            folder = Path(order["path"]).parent
            self.process = self._popen([json.dumps(order)], folder, subprocess.PIPE, output, subprocess.PIPE)
            return self.process.stdin, self.process.stdout  # type: ignore[return-value]
        self.ready = self.ready or self._hear(START_SECONDS)["ready"]
        theirs, requests = os.pipe()
        answers, theirs_too = os.pipe()
        try:
            socket.send_fds(self.control, [json.dumps(order).encode()], [theirs, theirs_too, output.fileno()])  # type: ignore
            self.process = self._hear(START_SECONDS)["process"]
        finally:
            os.close(theirs)
            os.close(theirs_too)
        return os.fdopen(requests, "wb"), os.fdopen(answers, "rb")

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

    @property
    def number(self) -> int:
        """Of the learner's process."""
        assert self.process is not None
        return self.process if isinstance(self.process, int) else self.process.pid

    def kill(self) -> None:
        """Kill the learner's process and its group."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                kill, number = (os.killpg, signal.SIGKILL) if CAN_FORK else (os.kill, signal.SIGTERM)
                kill(self.number, number)

    def stop(self) -> int | None:
        """End the learner's process, if it lives; its exit code."""
        process, code = self.process, None
        if process is None:
            return None
        self.kill()
        self.process = None
        if isinstance(process, int):
            with contextlib.suppress(Broken):
                code = int(self._hear(START_SECONDS)["ended"])
        else:
            code = process.wait()
        return code

    def wait(self) -> int | None:
        """The exit code of a learner's process that ends by itself."""
        process, self.process = self.process, None
        try:
            return int(self._hear(START_SECONDS)["ended"]) if isinstance(process, int) else process.wait()  # type: ignore
        except Broken:
            return None
