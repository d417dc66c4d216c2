"""Run a script's main() so that it ends with a result, or with one line that says why not."""

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

EXIT_OS_ERROR = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C
ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
TORCHRUN = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}  # what it puts into the environment


class UserError(Exception):
    """Bad input. The message is one line that says what to change."""


class Interrupted(Exception):
    """A run that stopped at a signal and has put its work in safety. The message says how far it got."""


def run(main: Callable[[], None]) -> None:
    """Call `main` and end the process: exit code 0, or a line on stderr instead of a traceback.

    Ctrl-C ends with 130, bad input (`UserError`) with 2, a failed write or too little memory with 1. A pipe whose
    reader left (`python task01.py | head -3`) ends quietly with 0. Of torchrun's processes only the first prints.
    In a session that goes on afterwards (Jupyter, `python -i`) it prints the same line and returns, and leaves signals
    as they were.
    """
    handlers = {signal.SIGINT: signal.default_int_handler, **dict.fromkeys(ENDING, _terminate)}  # "ignore" is inherited
    before: dict = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        _run(main)
    finally:
        if is_interactive():
            for number, handler in before.items():
                signal.signal(number, handler)


def is_interactive() -> bool:
    """Whether this process lives on when a script in it has ended: a notebook's, or of `python -i`."""
    return bool(sys.flags.interactive) or hasattr(sys, "ps1")


def _run(main: Callable[[], None]) -> None:
    if is_silent():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # the text may hold symbols that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except KeyboardInterrupt:
        _end(EXIT_INTERRUPTED, f"Interrupted {progress.where}.")
    except Interrupted as stop:
        _end(EXIT_INTERRUPTED, f"Interrupted {stop}.")
    except UserError as error:
        _end(EXIT_BAD_INPUT, str(error))
    except BrokenPipeError:
        _end(0)
    except OSError as error:
        _end(EXIT_OS_ERROR, str(error))
    except (MemoryError, RuntimeError) as error:  # PyTorch has words of its own for too little memory
        asked = re.search(r"allocate (\d+ bytes|[\d.]+ .iB)", str(error))
        if not isinstance(error, MemoryError) and not asked:
            raise
        wanted = f": {_readable(asked[1])} more were asked for" if asked else ""
        _end(EXIT_OS_ERROR, f"too little memory {progress.where}{wanted}")


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


class Progress:
    """How far a run got, for the line that Ctrl-C prints."""

    where = "before the first step"


progress = Progress()


@contextlib.contextmanager
def stop_requests(notice: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C, SIGTERM and SIGHUP only ask the run to stop; the function given says whether one came.

    The first calls `notice`, a second raises KeyboardInterrupt. Outside the main thread signals stay as they are.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        notice()

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, *ENDING)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def in_torchrun() -> bool:
    """Whether torchrun started this process; a stray RANK or WORLD_SIZE is not enough."""
    return os.environ.keys() >= TORCHRUN


def is_silent() -> bool:
    """Whether another process of the same torchrun speaks for this one."""
    return in_torchrun() and os.environ["RANK"] != "0"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads the stream; a closed one (`2>&-`) is None."""
    return not is_silent() and stream is not None and stream.isatty()


def _readable(amount: str) -> str:
    """A number of bytes as people say it; GPUs' allocators say it already."""
    number, unit = amount.split()
    return f"{int(number) / 1e6:,.0f} MB" if unit == "bytes" else amount


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _script() -> str:
    """The name of the script, or of the package that `python -m` runs."""
    folder, name = os.path.split(sys.argv[0])
    return os.path.basename(folder) if name == "__main__.py" else name


def _end(status: int, message: str = "") -> None:
    """Clear a progress bar from the terminal, print `message` on stderr, and exit, unless the session goes on."""
    if is_interactive():
        if message:
            print(f"{_script()}: {_printable(message)}", file=sys.stderr, flush=True)
        return
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError, ValueError):
        # What is still in stdout's buffer has no reader or no room: the interpreter must not try again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    line = f"{_script()}: {_printable(message)}\n" if message and not is_silent() else ""
    if is_terminal(sys.stderr):
        # Go below the echoed ^C, or take the place of a progress bar.
        line = ("\n" if status == EXIT_INTERRUPTED else "\r\x1b[2K") + line
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(line)
        sys.stderr.flush()
    sys.exit(status)
