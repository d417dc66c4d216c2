"""What a person at a terminal sees: text that is wrapped between words, and a line that is overwritten."""

import contextlib
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from typing import Any, TextIO

TORCHRUN = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}  # variables that torchrun sets
NARROWEST = 20  # columns
LEAST_COLUMN = 24  # columns that the right side of a table needs at least
REFRESH_SECONDS = 0.2
ERASE = "\r\x1b[2K"  # the cursor's line


def in_torchrun() -> bool:
    """Whether torchrun started this process; a stray RANK or WORLD_SIZE is not enough."""
    return os.environ.keys() >= TORCHRUN


def is_silent() -> bool:
    """Whether another process of the same torchrun speaks for this one."""
    return in_torchrun() and os.environ["RANK"] != "0"


def is_interactive() -> bool:
    """Whether this process goes on after a script in it has ended: a notebook, or `python -i`."""
    return bool(sys.flags.interactive) or hasattr(sys, "ps1")


def script() -> str:
    """The name of the script, or of the package that `python -m` runs."""
    folder, name = os.path.split(sys.argv[0])
    return os.path.basename(folder) if name == "__main__.py" else name


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads the stream; a closed one (`2>&-`) is None."""
    return not is_silent() and stream is not None and stream.isatty()


def has_codes(stream: TextIO | None) -> bool:
    """Whether a person reads the stream where codes move the cursor: not with TERM=dumb, nor in IDLE's window."""
    if not is_terminal(stream) or os.environ.get("TERM", "").lower() in ("dumb", "unknown"):
        return False
    with contextlib.suppress(OSError, ValueError, AttributeError):  # IDLE's streams have no number
        return os.isatty(stream.fileno())  # type: ignore[union-attr]
    return False


def columns(stream: TextIO) -> int:
    """The width of a terminal: $COLUMNS where it is set, 80 where nobody knows."""
    width = 0
    with contextlib.suppress(OSError, ValueError, AttributeError):
        width = int(os.environ.get("COLUMNS") or os.get_terminal_size(stream.fileno()).columns)
    return max(NARROWEST, width or 80)


def wrapped(text: str, stream: TextIO, hanging: int = 0) -> str:
    """The text, each line cut between words at the terminal's width, what follows indented; unchanged elsewhere."""
    if not is_terminal(stream):
        return text
    return "\n".join(fold(line, columns(stream), hanging) for line in text.split("\n"))


def say(text: str, hanging: int = 0) -> None:
    """Print text as `wrapped` has it."""
    print(wrapped(text, sys.stdout, hanging), flush=True)


def fold(line: str, width: int, hanging: int = 0) -> str:
    """A line as one or more of at most `width` columns; a word that is longer stays whole."""
    if len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + hanging)
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "replace_whitespace": False}
    return textwrap.fill(line, width, subsequent_indent=indent, **options)


def shortened(line: str, width: int) -> str:
    """A line of at most `width` columns: without its last parts, which commas separate."""
    while len(line) > width and ", " in line:
        line = line.rpartition(", ")[0]
    return line[:width]


def paragraphs(text: str, stream: TextIO) -> str:
    """A docstring: its paragraphs filled again, its tables (indented lines) with their columns; unchanged in a pipe."""
    if not is_terminal(stream):
        return text
    width = columns(stream)
    parts = []
    for part in text.strip("\n").split("\n\n"):
        lines = part.split("\n")
        table = any(line.startswith(" ") for line in lines)
        parts += ["\n".join(_row(line, width) for line in lines)] if table else [fold(" ".join(lines), width)]
    return "\n\n".join(parts) + "\n" * text.endswith("\n")


def _row(line: str, width: int) -> str:
    """A line of a table; where its right column would be too narrow, that goes below."""
    left = re.match(r" *\S.*?  +(?=\S)", line)
    if left is None or len(line) <= width:
        return fold(line, width, hanging=4)
    if width - left.end() >= LEAST_COLUMN:
        return fold(line, width, hanging=left.end() - (len(line) - len(line.lstrip())))
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return f"{left[0].rstrip()}\n{fold(indent + line[left.end() :], width)}"


class Status:
    """A line on stderr, or below a notebook's cell, that each `show` replaces; nothing where nobody could see it."""

    def __init__(self) -> None:
        self.shown = ""
        self.shown_at = 0.0
        self.cell: Any = None  # IPython's handle of what it displays

    def show(self, text: str) -> None:
        if _in_notebook():
            from IPython.display import display

            self.cell = self.cell or display(display_id=True)
            self.cell.update({"text/plain": text}, raw=True)
        elif has_codes(sys.stderr):
            text = shortened(text, columns(sys.stderr) - 1)
            print(ERASE + text, end="", file=sys.stderr, flush=True)
        self.shown, self.shown_at = text, time.monotonic()

    def is_due(self) -> bool:
        """Whether the line has stood for a moment."""
        return time.monotonic() - self.shown_at > REFRESH_SECONDS

    def clear(self) -> None:
        """Clear the line, so that another can be printed."""
        if self.shown:
            self.show("")

    def leave(self) -> None:
        """Go below the line, which stays."""
        if self.shown and has_codes(sys.stderr):
            print(file=sys.stderr, flush=True)
        self.shown, self.cell = "", None


status = Status()


def _in_notebook() -> bool:
    return type(sys.stderr).__module__.startswith("ipykernel") and not is_silent()


@contextlib.contextmanager
def keyboard_without(*flags: str) -> Iterator[bool]:
    """Inside, the terminal that is stdin lacks these modes (see termios: ECHO, ICANON); whether it does."""
    try:
        import termios

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        is_ours = os.tcgetpgrp(terminal) == os.getpgrp()  # a job in the background may not
    except Exception:  # Windows, IDLE, a pipe: termios has errors of its own
        is_ours = False
    if not is_ours:
        yield False
        return
    modes = before[3] & ~sum(getattr(termios, flag) for flag in flags)
    termios.tcsetattr(terminal, termios.TCSADRAIN, [*before[:3], modes, *before[4:]])
    try:
        yield True
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
