"""PyTorch, imported first: the import takes seconds, PyTorch may be missing, and Ctrl-C may come meanwhile.

Handlers are removed again. A script gets one line for each error; an interactive session gets its own errors.
"""

import os
import signal
import sys
import threading

from common.terminal import is_interactive, is_silent, is_terminal, script

MISSING = "PyTorch is not installed: pip install -r requirements.txt"


def _stop(number: int, frame: object) -> None:
    line = "" if is_silent() else f"{script()}: Interrupted while PyTorch was imported.\n"
    os.write(2, ("\n" * is_terminal(sys.stderr) + line).encode())
    os._exit(130)  # an exception would get lost in C++


def _load() -> None:
    alone = threading.current_thread() is threading.main_thread() and not is_interactive()
    guarded = alone and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if guarded:
        signal.signal(signal.SIGINT, _stop)
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch" or is_interactive():
            raise
        sys.exit(f"{script()}: {MISSING}")
    finally:
        if guarded:
            signal.signal(signal.SIGINT, signal.default_int_handler)


_load()
