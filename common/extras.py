"""Packages that only some flags and studies need: the dependency groups of pyproject.toml."""

import importlib
import tomllib
from pathlib import Path
from typing import Any

from common.run import UserError

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def optional(package: str, group: str) -> Any:
    """The imported package. If it is missing, raises UserError with the command that installs its group."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise missing(package, group) from error


def missing(package: str, group: str) -> UserError:
    return UserError(f"this needs {package}: {install(group)}")


def install(group: str) -> str:
    """The command that installs a group, with any version of pip."""
    pins = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["dependency-groups"][group]
    return f"pip install {' '.join(pin.partition(';')[0] for pin in pins)}"


def pyplot() -> Any:
    """matplotlib.pyplot, drawing to files. Raises UserError where it is missing."""
    optional("matplotlib", "plots").use("Agg")
    return optional("matplotlib.pyplot", "plots")
