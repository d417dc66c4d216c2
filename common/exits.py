"""How a run ends early: one line or none, never a traceback.

Scripts install this before their slow imports, so it imports next to nothing itself.
"""

import os
import signal
import sys

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C

_how_far = "before the first epoch"
_finish_first = False
_endless = False
_asked_to_stop = False
_silent = False  # another process of the same run speaks for this one


class UserError(Exception):
    """Bad input; the message is one line that says what to change. Ends a script with exit code 2."""


def end_cleanly(name: str, endless: bool = False) -> None:
    """Answer Ctrl-C, a closed pipe and bad input with at most one line on stderr.

    Call it first, with the script's `__name__`: an import (from a test, say) leaves these as they are.
    Ctrl-C exits with 130, bad input (`UserError`) with 2, a pipe whose reader left
    (`python task01.py | head -3`) quietly with 0, a failed write (disk full) with 1.
    An endless script is meant to be ended by Ctrl-C: a new line on stdout, and 0.
    Of the processes that torchrun starts, only the first prints.
    """
    global _endless, _silent
    if name == "__main__":
        _endless = endless
        if os.environ.get("RANK", "0") != "0":
            _silent, sys.stdout = True, open(os.devnull, "w")  # noqa: SIM115
        # A handler that leaves at once: a KeyboardInterrupt can be swallowed inside an import or a callback.
        signal.signal(signal.SIGINT, _interrupted)
        sys.excepthook = _excepthook
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # the user's text may hold symbols the terminal's encoding lacks
                stream.reconfigure(errors="backslashreplace")
    import warnings

    # Nothing here uses NumPy; PyTorch warns on import when it is absent.
    warnings.filterwarnings("ignore", message="Failed to initialize NumPy", category=UserWarning)


def at(how_far: str) -> None:
    """Note how far the run got, for the line that Ctrl-C prints."""
    global _how_far
    _how_far = how_far


def finish_first(wanted: bool) -> None:
    """Whether Ctrl-C and SIGTERM wait for the loop to save its state; a second one does not wait."""
    global _finish_first
    _finish_first = wanted
    if wanted and signal.getsignal(signal.SIGINT) is _interrupted:
        signal.signal(signal.SIGTERM, _interrupted)


def asked_to_stop() -> bool:
    """Whether a signal came that `finish_first` made wait."""
    return _asked_to_stop


def is_terminal(stream) -> bool:
    """Whether a person reads the stream; a closed one (`2>&-`) is None."""
    return not _silent and stream is not None and stream.isatty()


def leave(status: int, message: str = "") -> None:
    """End the process now: write what was printed, show the terminal's cursor, then `message` on stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, RuntimeError):  # closed, its reader left, or Ctrl-C came amid a write
        pass
    line = ""
    if message and not _silent:
        printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        line = f"{os.path.basename(sys.argv[0])}: {printable}\n"
    if is_terminal(sys.stderr):
        # Below the echoed ^C; else in place of a progress bar.
        line = "\x1b[?25h" + ("\n" if status == EXIT_INTERRUPTED else "\r\x1b[2K") + line
    try:
        if sys.stderr is not None:  # past its buffer, which may be what Ctrl-C interrupted
            os.write(sys.stderr.fileno(), line.encode(sys.stderr.encoding, "backslashreplace"))
    except OSError:
        pass
    os._exit(status)


def _interrupted(*_) -> None:
    global _asked_to_stop
    if _finish_first and not _asked_to_stop:
        _asked_to_stop = True
    elif _endless:
        try:
            sys.stdout.flush()
            os.write(sys.stdout.fileno(), b"\n")
        except (AttributeError, OSError, RuntimeError):  # as in `leave`
            pass
        leave(0)
    else:
        leave(EXIT_INTERRUPTED, f"Interrupted {_how_far}.")


def _excepthook(kind, error, traceback) -> None:
    if issubclass(kind, BrokenPipeError):
        leave(0)
    elif issubclass(kind, UserError):
        leave(EXIT_BAD_INPUT, str(error))
    elif issubclass(kind, OSError):
        leave(1, str(error))
    else:
        sys.__excepthook__(kind, error, traceback)
