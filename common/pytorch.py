"""PyTorch, imported first: the import takes seconds, PyTorch may be missing, and Ctrl-C may come meanwhile.

PyTorch's import swallows exceptions, so no signal may raise one in it. Handlers are put back afterwards. A script gets
one line for each error; an interactive session gets its own errors.
"""

import os
import signal
import sys
import threading
from typing import Any

from common.run import ENDING
from common.terminal import is_interactive, is_silent, is_terminal, script

MISSING = "PyTorch is not installed: pip install -r requirements.txt"


def _stop(number: int, frame: object) -> None:
    line = "" if is_silent() else f"{script()}: Interrupted while PyTorch was imported.\n"
    os.write(2, ("\n" * is_terminal(sys.stderr) + line).encode())
    os._exit(130)  # an exception would get lost in C++


def _load() -> None:
    held: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread() and not is_interactive():
        for number in map(int, (signal.SIGINT, *ENDING)):
            handler = signal.getsignal(number)
            if callable(handler):  # a script's own answers once the import is over: it may have to clean up
                own = handler is not signal.default_int_handler
                before[number] = signal.signal(number, (lambda number, _: held.append(number)) if own else _stop)
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "torch" or is_interactive():
            raise
        sys.exit(f"{script()}: {MISSING}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


_load()
