"""Packages that only some studies need; pyproject.toml lists and pins them."""

import importlib.util
from pathlib import Path

from common.exits import UserError


def optional(package: str, extra: str):
    """The imported package. Raises UserError that names the extra to install where it is missing."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise _missing(package, extra) from error


def folder(package: str, extra: str) -> Path:
    """Where a package keeps its files; none of its code is run. Raises UserError as `optional` does."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise _missing(package, extra)
    return Path(spec.submodule_search_locations[0])


def pyplot():
    """matplotlib.pyplot, drawing to files."""
    optional("matplotlib", "plots").use("Agg")
    return optional("matplotlib.pyplot", "plots")


def _missing(package: str, extra: str) -> UserError:
    return UserError(f'this needs {package}: pip install ".[{extra}]"')
