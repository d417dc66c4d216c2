"""How a run ends early: one line or none, never a traceback.

This module imports neither torch nor rich, so that a script can install it before its slow imports.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C

_how_far = "before the first epoch"
_clean_up: Callable[[], None] | None = None


class UserError(Exception):
    """Bad input; the message is one line that says what to change. Ends a script with exit code 2."""


def end_cleanly(name: str) -> None:
    """Answer Ctrl-C, a closed pipe and bad input with at most one line on stderr.

    Call it first, with the script's `__name__`: an import (from a test, say) changes nothing.
    Ctrl-C exits with 130, bad input (`UserError`) with 2, a pipe whose reader left
    (`python task01.py | head -3`) quietly with 0, a failed write (disk full) with 1.
    """
    if name != "__main__":
        return
    # A handler that leaves at once: a KeyboardInterrupt can be swallowed inside an import or a callback.
    signal.signal(signal.SIGINT, lambda *_: leave(EXIT_INTERRUPTED, f"Interrupted {_how_far}."))
    sys.excepthook = _excepthook
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # the user's text may hold symbols the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")


def at(how_far: str, clean_up: Callable[[], None] | None = None) -> None:
    """Note how far the run got, for the line that Ctrl-C prints, and what puts the terminal right."""
    global _how_far, _clean_up
    _how_far, _clean_up = how_far, clean_up


def leave(status: int, message: str = "") -> None:
    """End the process now: restore the terminal, write what was printed, then `message` on stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if _clean_up:
            _clean_up()
        sys.stdout.flush()
    except (OSError, RuntimeError):  # the pipe is closed, or Ctrl-C came in the middle of a write
        pass
    if message and sys.stderr:
        start = "\n" if sys.stderr.isatty() and status == EXIT_INTERRUPTED else ""  # below the echoed ^C
        print(f"{start}{Path(sys.argv[0]).name}: {message}", file=sys.stderr, flush=True)
    os._exit(status)


def _excepthook(kind, error, traceback) -> None:
    if issubclass(kind, BrokenPipeError):
        leave(0)
    elif issubclass(kind, UserError):
        leave(EXIT_BAD_INPUT, str(error))
    elif issubclass(kind, OSError):
        leave(1, str(error))
    else:
        sys.__excepthook__(kind, error, traceback)
