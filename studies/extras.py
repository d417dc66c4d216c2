"""Packages that only some studies need; pyproject.toml lists and pins them."""

import importlib

from common.exits import UserError


def optional(package: str, extra: str):
    """The imported package. Raises UserError that names the extra to install where it is missing."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise UserError(f'this needs {package}: pip install ".[{extra}]"') from error


def pyplot():
    """matplotlib.pyplot, drawing to files."""
    optional("matplotlib", "plots").use("Agg")
    return optional("matplotlib.pyplot", "plots")
