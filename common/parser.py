"""argparse as every command here uses it. It does not import PyTorch, so that commands can do without it."""

import argparse
import contextlib
import difflib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from common.run import UserError
from common.terminal import fold, paragraphs

MOST_SEED = 2**32 - 1


class Parser(argparse.ArgumentParser):
    """argparse with messages of one line, and with help that is wrapped between words.

    Raises UserError if the command line cannot be read.
    """

    def __init__(self, **options):
        super().__init__(allow_abbrev=False, formatter_class=Formatter, **options)

    def parse_known_args(self, args=None, namespace=None):
        if args is None and sys.argv[0].endswith("kernel_launcher.py"):  # a notebook's; its flags are Jupyter's
            args = []
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        _, _, words = message.partition("unrecognized arguments: ")
        close = difflib.get_close_matches(words.split()[0], self._option_string_actions, n=1) if words else []
        raise UserError(f"{message}{f'; did you mean {close[0]}?' if close else ''} (see --help)")


class Formatter(argparse.RawDescriptionHelpFormatter):
    """The description's paragraphs are filled and its tables keep their columns; no word of a flag's help is cut."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return paragraphs(text, sys.stdout)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return fold(" ".join(text.split()), width).split("\n")


def whole_number(least: int, most: int = 10**9) -> Callable[[str], int]:
    """A type for argparse: a whole number in a range, of ASCII digits alone."""
    return number(least, most, lambda text: int(text) if text.isascii() and text.isdecimal() else None, "whole number")


def number(least: Any, most: Any, read: Callable[[str], Any] = float, kind: str = "number") -> Callable[[str], Any]:
    """A type for argparse: a number in a range."""

    def parse(text: str) -> Any:
        with contextlib.suppress(ValueError, TypeError):
            if least <= read(text) <= most:
                return read(text)
        raise argparse.ArgumentTypeError(f"expected a {kind} from {least} to {most}, got '{_short(text)}'")

    return parse


def path(text: str) -> Path:
    """A type for argparse: a path that may or may not exist."""
    try:
        if not text:
            raise ValueError("expected a path, got ''")
        os.stat(text)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # reported by the code that uses the path
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise argparse.ArgumentTypeError(f"{_short(text)}: {reason}" if text else reason) from error
    return Path(text)


def _short(text: str) -> str:
    return text if len(text) <= 20 else text[:20] + "…"
