"""Packages that only some flags and studies need."""

import importlib
from typing import Any

from common.run import UserError


def optional(package: str, extra: str) -> Any:
    """The imported package. Raises UserError that names the extra to install where it is missing."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise missing(package, extra) from error


def missing(package: str, extra: str) -> UserError:
    return UserError(f'this needs {package}: pip install ".[{extra}]"')
