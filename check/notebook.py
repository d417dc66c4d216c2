"""A notebook's code, as one file of Python."""

import json
import re
from pathlib import Path

from common.run import UserError

NOT_PYTHON = re.compile(r"^(\s*)([%!?].*|[\w.]+\?+)$")  # magics, shell commands, questions


def code_of(path: Path) -> str:
    """As `code_in`, with the file's name in what it raises."""
    try:
        return code_in(path.read_bytes())
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def code_in(content: bytes) -> str:
    """The code cells of a notebook, in order, without what only a notebook understands.

    Raises UserError for what is no notebook, or holds no Python.
    """
    try:
        notebook = json.loads(content)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("not a notebook, or not all of one; open it in Jupyter and save it again") from error
    if not any(source.strip() for source in sources):
        raise UserError("a notebook without code")
    return "\n\n".join(f"# Cell {number}\n{_python(source)}" for number, source in enumerate(sources, 1)) + "\n"


def _python(source: str) -> str:
    if source.startswith("%%"):  # a cell in another language
        return "\n".join(f"# {line}" for line in source.split("\n"))
    return "\n".join(NOT_PYTHON.sub(r"\1pass  # \2", line) for line in source.split("\n"))
