"""The learner's process, from the check's side: start it, ask it, end it and all that it started."""

import contextlib
import os
import secrets
import select
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from check.isolated import protocol
from check.isolated.loading import copy_files
from check.isolated.notebook import CELL, source_of
from check.isolated.sandbox import MOST_PROCESSES
from check.judge.result import Broken, Failure, NotStarted, Undecided
from check.judge.zygote import CAN_FORK, ROOT, START_SECONDS, Usage, Zygote, usage

WORK_SECONDS = 20.0  # of processor time for a question, on a machine that calibrates in CALIBRATION seconds
CALIBRATION = 0.03
IDLE_SECONDS = 15.0  # of a question's time without work, while the processor was free: the code waits for something
LONGEST_SECONDS = 600.0  # of wall time for all questions
POLL_SECONDS = 0.25
MOST_MEMORY = 4 * 2**30  # bytes of all the learner's processes
MOST_WRITTEN = 2**28  # bytes in the learner's folder
WAITS = "Does it wait for input, a lock, a sleep or another process?"
OUTPUT_LINES = 12
PACKAGES = (  # from PyPI, that a learner's file may import
    "IPython accelerate beartype circuitsvis click datasets einops evaluate fancy_einsum fire hydra ipywidgets jax "
    "jaxtyping keras lightning matplotlib nltk numpy omegaconf pandas plotly psutil pydantic pytest pytorch_lightning "
    "regex requests safetensors scipy seaborn sentencepiece tensorboard tensorflow tiktoken tokenizers torchaudio "
    "torchinfo torchmetrics torchtext torchvision tqdm transformer_lens transformers typer wandb"
)
OTHER_NAMES = {"sklearn": "scikit-learn", "PIL": "pillow", "cv2": "opencv-python", "yaml": "pyyaml"}  # as pip has them
HINTS = (  # kinds of errors, words of the message or line (one of them), what to ask
    (("SyntaxError",), ("!", "%"), "Is this line a notebook's (!pip, %time)? A .py file holds Python alone."),
    (("SyntaxError", "IndentationError", "TabError"), (), "What does Python expect on this line, or before it?"),
    ((), ("CUDA", "cuda", "NVIDIA"), "The check has no GPU: does the code take the device of its input, idx.device?"),
    ((), ("does not require grad",), "Is grad mode switched off: torch.set_grad_enabled(False), no_grad on forward?"),
    (("ImportError",), (), "Is this name in the imported module, and is it spelled in the same way in both files?"),
    (("NameError",), (), "Where is this name defined, and is it spelled in the same way in both places?"),
    (("AttributeError",), (), "Which object has this attribute, and is it assigned in __init__?"),
    (("TypeError",), ("argument",), "Which arguments does the definition take, and which does the call give?"),
    (("BdbQuit", "EOFError"), (), "The check has no terminal: what does the program wait for?"),
    (("PermissionError",), ("Pool", "pool", "Process"), "Can the pool of processes wait until main() runs?"),
    (("PermissionError",), (), "Which file outside its own folder does the program open?"),
    (("FileNotFoundError",), (), "Is the file read when it is imported? Only the file's own imports travel with it."),
    (("URLError", "gaierror", "ConnectionError"), (), "The check has no network: can the download wait until main()?"),
    (("MemoryError", "RecursionError"), (), "What grows without limit?"),
    (("SystemExit",), (), "What ends the program when it is imported or called?"),
    (("IndexError", "KeyError"), (), "Which index is asked for, and how many are there?"),
    (
        ("RuntimeError",),
        ("size", "shape", "dimension"),
        "What is the shape of each tensor on that line, and which axes must agree?",
    ),
)


class LearnerProcess:
    """A copy of a learner's file, in a separate process. Use as a context manager.

    `zygote`: the process to fork it from (default: a new one). `within`: the folder whose files it may import.
    """

    def __init__(self, path: Path, zygote: Zygote | None = None, within: Path | None = None):
        self.path, self.zygote, self.within = path, zygote, within
        self.resources = contextlib.ExitStack()
        self.folder = Path()
        self.late = False  # killed for taking too long
        self.deadline = time.monotonic() + LONGEST_SECONDS
        self.seconds = WORK_SECONDS
        self.requests: Any = None
        self.answers: Any = None
        self.ended = False  # then nothing more can be asked
        self.why_ended: Failure | None = None
        self.run_from_text: list[str] = []  # lines that run code which is not a line of a file
        self.asked, self.idle = 0.0, IDLE_SECONDS
        self.before: Usage | None = None  # the clock of a question

    def __enter__(self) -> "LearnerProcess":
        with self.resources:
            self._start()
            self.resources = self.resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.resources.close()

    def _start(self) -> None:
        if self.zygote is None:
            self.zygote = self.resources.enter_context(Zygote.ahead())
        order = self.copy(self.zygote.folder)
        output: IO[bytes] = open(self.folder / ".output", "w+b")  # noqa: SIM115
        self.resources.callback(output.close)
        streams = self.zygote.start(order, output)
        self.requests, self.answers = (Timed(each, self._watch) if CAN_FORK else each for each in streams)
        self.resources.callback(self._close)
        self.asked, self.before, self.idle = time.monotonic(), None, START_SECONDS
        try:
            greeting = self._receive()
        except Failure as failure:  # nothing of the file has run yet
            raise Broken(f"the process that runs your file could not start: {failure.got}") from failure
        self.seconds = WORK_SECONDS * max(1.0, greeting["calibration"] / CALIBRATION)

    def _close(self) -> int | None:
        """End the learner's process; its exit code."""
        assert self.zygote is not None
        for stream in (self.requests, self.answers):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        code, self.ended = (None if self.ended else self.zygote.end()), True
        return code

    def copy(self, parent: Path | None) -> dict:
        """Copy the file and what it imports into a folder of its own; what the worker needs to know of it."""
        self.folder = Path(tempfile.mkdtemp(prefix="own-", dir=parent))
        self.resources.callback(shutil.rmtree, self.folder, ignore_errors=True)
        own = self.folder / self.path.name
        own.write_bytes(source_of(self.path))
        if (ROOT / "input.txt").exists():
            shutil.copyfile(ROOT / "input.txt", self.folder / "input.txt")
        package, paths = copy_files(self.path, self.folder / "files", self.within)
        if own.read_text(encoding="utf-8", errors="replace").startswith(CELL):
            paths.append(str(self.folder))  # for %%writefile
        return {"path": str(own), "package": package, "paths": paths}

    def ask(self, question: str, **arguments: Any) -> Any:
        """The answer to a question of worker.py.

        Raises Failure for an error in the learner's code, and where it ends, hangs or answers what was not asked;
        NotStarted for a part of a starter that is not written; Undecided where a package or another file is missing;
        Broken where the process ended through no fault of it.
        """
        if self.why_ended:
            raise self.why_ended
        identity = secrets.token_hex(8)
        self.asked, self.before, self.idle = time.monotonic(), None, IDLE_SECONDS
        with contextlib.suppress(BrokenPipeError):  # how it ended is told below
            protocol.send(self.requests, {"id": identity, "question": question, "seconds": self.seconds, **arguments})
        answer = clean(self._receive())
        if answer.get("id") != identity:
            raise self._interference()
        if name := answer.get("changed"):
            raise Failure(
                what="the file leaves the check and PyTorch as they are",
                expected=f"{name} as it was",
                got="another one",
                hint=f"Which line assigns to {name}?",
            )
        self.run_from_text = answer.get("run_from_text") or []
        if "error" in answer:
            self._explain(answer["error"], question)
        return answer.get("value")

    def _receive(self) -> dict:
        """The next message."""
        clock = threading.Timer(self.seconds * 3, self._too_late)  # where nothing tells processor time
        clock.daemon = True
        if not CAN_FORK:
            clock.start()
        try:
            return protocol.receive(self.answers)  # type: ignore[arg-type]
        except EOFError:
            self._ended()
        except (ValueError, KeyError, TypeError, RuntimeError, OverflowError):  # RecursionError is a RuntimeError
            pass
        finally:
            clock.cancel()
        raise self._interference()

    def _watch(self) -> None:
        """Raise Failure where the learner's processes use more than they may, or wait for what does not come."""
        assert self.zygote is not None and self.zygote.server is not None
        now = usage(self.zygote.server.pid)
        self.before = before = self.before or now
        work, passed = now.work - before.work, time.monotonic() - self.asked
        if work > self.seconds:
            self._too_late()
            self._ended()
        waited = passed - work - max(0.0, now.delay - before.delay)
        if passed > self.deadline - self.asked or waited > self.idle:
            raise self._limit("an answer", f"it has waited for {waited:.0f} seconds", WAITS)
        if now.memory > MOST_MEMORY:
            raise self._limit("less than 4 GiB of memory", f"{now.memory / 2**30:.1f} GiB", "What grows without limit?")
        if now.processes > MOST_PROCESSES:
            raise self._limit("one process", f"{now.processes} processes", "Which line starts processes, and how many?")
        written = size_of(self.folder)
        if written > MOST_WRITTEN:
            raise self._limit("a few files", f"{written / 2**20:.0f} MiB", "What does the file write, and when?")

    def _limit(self, expected: str, got: str, hint: str) -> Failure:
        """A failure, once the learner's processes are ended."""
        self._too_late()
        self._close()
        self.why_ended = _no_end(expected, got, hint)
        return self.why_ended

    def _too_late(self) -> None:
        self.late = True
        if self.zygote:
            self.zygote.kill()

    def _interference(self) -> Failure:
        return Failure(
            what="the file leaves the check's own channel alone",
            expected="an answer to the question",
            got="something else",
            hint="Which line writes to a file descriptor that the file did not open?",
        )

    def _ended(self) -> None:
        """Say why the process is gone."""
        code = self._close()
        if self.late or (hasattr(signal, "SIGXCPU") and code == -signal.SIGXCPU):
            hint = "Which loop does not end, or does far more work than it needs?"
            self.why_ended = _no_end("an answer", f"none after {self.seconds:.0f} seconds of processor time", hint)
            raise self.why_ended
        if code in (None, -signal.SIGKILL if hasattr(signal, "SIGKILL") else None):
            raise Broken("the process that runs your file was killed from outside, or by the system for lack of memory")
        hint = "What ends the whole program: exit(), os._exit(), a crash in a library?"
        self.why_ended = _no_end("an answer", f"the program ended itself, with code {code}", hint)
        raise self.why_ended

    def _explain(self, error: dict, question: str) -> None:
        """Raise what an error in the learner's code means."""
        if error["not_started"]:
            raise NotStarted(error["message"] or "NotImplementedError")
        if error["trained"]:
            raise Failure(
                what="importing does not train",
                expected="definitions alone",
                got="a backward pass during the import",
                hint='Is the training in main(), under if __name__ == "__main__"?',
            )
        if error["module"]:
            raise Undecided(missing(error["module"], error["where"]))
        where = f" ({error['where']})" if error["where"] else ""
        raise Failure(
            what="the code runs" if question == "load" else f"the code runs ({question.replace('_', ' ')})",
            expected="no error",
            got=f"{error['kind']}: {error['message']}{where}",
            hint=hint_for(error),
            shapes=error["shapes"],
            source=f"{error['where']}: {error['source']}" if error["source"] else "",
        )

    def printed(self) -> str:
        """The last lines that the learner's code printed, made harmless for a terminal."""
        with contextlib.suppress(OSError):
            text = (self.folder / ".output").read_bytes()[-20_000:].decode("utf-8", "backslashreplace")
            lines = [harmless(line) for line in text.splitlines() if line.strip()]
            return "\n".join(lines[-OUTPUT_LINES:])
        return ""


def _no_end(expected: str, got: str, hint: str) -> Failure:
    return Failure(what="the code ends and returns", expected=expected, got=got, hint=hint)


def harmless(text: str) -> str:
    """Text without the codes that move a terminal's cursor or change its colours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:500]


def clean(value: Any) -> Any:
    """A message in which all texts are harmless."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {harmless(str(key)): clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value


def missing(module: str, where: str) -> str:
    """The message about a module that the learner's file imports and this machine does not have."""
    first = module.split(".")[0]
    if module.startswith("."):
        return f"a file alone has no package: which folder does the dot in `{module}` mean? Keep it together ({where})"
    if module.startswith("google.colab"):
        return f"could not be checked: google.colab exists only on Colab; leave it out of the file ({where})"
    if first in PACKAGES.split() or first in OTHER_NAMES:
        pip = OTHER_NAMES.get(first, first)
        return f"could not be checked: {first} is not installed here: pip install {pip} ({where})"
    return (
        f"could not be checked: {module} is not here ({where}). Is {first}.py another file of yours? Keep it next to "
        f"this one, and hand it in too. Is it a package? pip install {first}"
    )


def hint_for(error: dict) -> str:
    """The hint for an error of this kind."""
    for kinds, words, hint in HINTS:
        text = error["message"] + error["source"]
        if (error["kind"] in kinds or not kinds) and (not words or any(word in text for word in words)):
            return hint
    return "What is the value, and what is the shape, of each name on that line?"


def size_of(folder: Path) -> int:
    """Bytes in a folder; each file counts as 16 KiB at least."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += max(os.lstat(os.path.join(place, name)).st_size, 2**14)
        if total > MOST_WRITTEN:
            break
    return total


class Timed:
    """An end of a pipe that calls `watch` for as long as it waits for the other one."""

    def __init__(self, stream: IO[bytes], watch: Callable[[], None]):
        self.stream, self.watch, self.looked = stream, watch, time.monotonic()

    def read(self, size: int) -> bytes:
        self._wait([self.stream], [])
        return self.stream.read(min(size, 2**20)) or b""

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            self._wait([], [self.stream])
            left = left[self.stream.write(left) or 0 :]

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        self.stream.close()

    def _wait(self, reading: list, writing: list) -> None:
        while True:
            if time.monotonic() > self.looked + POLL_SECONDS:
                self.watch()
                self.looked = time.monotonic()
            if any(select.select(reading, writing, [], POLL_SECONDS)):
                return
