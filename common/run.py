"""Run a script's main() so that it ends with a result, or with one line that says why there is none."""

import atexit
import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, SimpleNamespace
from typing import Any

from common.terminal import ERASE, has_codes, is_interactive, is_silent, is_terminal, script, status, wrapped

EXIT_OS_ERROR = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C
ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
SIGNALS = [signal.SIGINT, *ENDING]
TOGETHER = 1.0  # seconds in which two signals count as one
_last_signal = -TOGETHER  # when it came
progress = SimpleNamespace(where="before the first step")  # how far a run got, for the line that Ctrl-C prints


class UserError(Exception):
    """Bad input. The message is one line that says what to change."""


class Interrupted(Exception):
    """A run that stopped at a signal and has saved its work. The message says how far it got."""


def run(main: Callable[[], Any]) -> Any:
    """Call `main` and end the process: exit code 0, or a line on stderr instead of a traceback.

    Ctrl-C ends with 130, bad input (`UserError`) with 2, a failed write or too little memory with 1. A pipe whose
    reader has ended (`python task01.py | head -3`) ends silently with 0. Of torchrun's processes only the first prints.
    A signal that is ignored (`nohup`) stays ignored. In a session that goes on afterwards (Jupyter, `python -i`) it
    prints the same line and returns what `main` returned, if it came to its end, and leaves signals as they were; an
    error other than `UserError` is the session's.
    """
    if is_interactive():
        with handling(_terminate):
            return _run(main)
    if handle(_terminate):
        atexit.register(handle, signal.SIG_IGN)  # no traceback while the interpreter shuts down
    return _run(main)


def _run(main: Callable[[], Any]) -> Any:
    if is_silent():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # the text may hold symbols that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace", line_buffering=True)  # in a pipe, too, in their order
    try:
        try:
            return main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        _end(EXIT_INTERRUPTED, f"Interrupted {progress.where}.")
    except Interrupted as stop:
        _end(EXIT_INTERRUPTED, f"Interrupted {stop}")
    except UserError as error:
        _end(EXIT_BAD_INPUT, str(error))
    except BrokenPipeError:
        _end(0)
    except OSError as error:
        if is_interactive():
            raise
        _end(EXIT_OS_ERROR, str(error))
    except (MemoryError, RuntimeError) as error:  # PyTorch has its own message for too little memory
        asked = re.search(r"allocate ([\d.]+) (bytes|.iB)", str(error))
        if is_interactive() or (not isinstance(error, MemoryError) and not asked):
            raise
        wanted = ""
        if asked:
            amount = f"{int(asked[1]) / 1e6:,.0f} MB" if asked[2] == "bytes" else f"{asked[1]} {asked[2]}"
            wanted = f": {amount} more were asked for"
        _end(EXIT_OS_ERROR, f"too little memory {progress.where}{wanted}")


def handle(handler: Any) -> dict:
    """Install a handler for signals that are not ignored; those that were there. In the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}


@contextlib.contextmanager
def handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, signals have this handler."""
    before = handle(handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _terminate(number: int, frame: FrameType | None) -> None:
    """End the run; but ignore signals for a moment after each one, so that the clean-up can finish."""
    global _last_signal
    again, _last_signal = time.monotonic() - _last_signal < TOGETHER, time.monotonic()
    if not again:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


@contextlib.contextmanager
def stop_requests(notice: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP only ask the run to stop; the function given says whether one came.

    The first calls `notice`, a second raises KeyboardInterrupt. Outside the main thread signals stay as they are.
    """
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        notice()

    with handling(ask):
        yield lambda: bool(asked)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _end(code: int, message: str = "") -> None:
    """Clear a progress line from the terminal, print `message` on stderr, and exit, unless the session goes on."""
    line = wrapped(f"{script()}: {_printable(message)}", sys.stderr, hanging=2) if message and not is_silent() else ""
    if is_interactive():
        status.clear()
        if line:
            print(line, file=sys.stderr, flush=True)
        return
    with contextlib.suppress(AttributeError, OSError, ValueError):
        # The rest of stdout's buffer has no reader, or the disk is full: the interpreter must not try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if is_terminal(sys.stderr):
        # Go below the echoed ^C, or overwrite a progress line.
        line = ("\n" if code == EXIT_INTERRUPTED else ERASE * has_codes(sys.stderr)) + line
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(line + "\n" * bool(message and line))
        sys.stderr.flush()
    sys.exit(code)
