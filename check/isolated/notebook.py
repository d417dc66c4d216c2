"""A notebook's code, as one file of Python whose cells are marked; and what a cell finds in Jupyter."""

import ast
import contextlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from common.run import UserError

CELL = "# %% cell "  # before each cell's code, with its number
KEPT = tuple(f"# %%{name}" for name in ("time", "timeit", "capture", "prun"))  # magics whose cell is Python
SHELL = re.compile(r"^(\s*)(?:([\w., ]+?)\s*=\s*)?([%!?].*|[\w.]+\?+)$")  # magics, shell commands, questions


def code_of(path: Path) -> str:
    """As `code_in`, with the file's name in what it raises."""
    try:
        return code_in(path.read_bytes())
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def source_of(path: Path) -> bytes:
    """The Python in a file or notebook."""
    return code_of(path).encode() if path.suffix == ".ipynb" else path.read_bytes()


def executed(path: Path) -> str:
    """Whether a notebook's cells were run from top to bottom, as some courses ask; "" for another file."""
    if path.suffix != ".ipynb":
        return ""
    cells = json.loads(path.read_bytes())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    counts = [cell.get("execution_count") for cell in code]
    if None in counts:
        left = f"{counts.count(None)} of {len(counts)} cells"
        return f"; you have not run {left}: Restart and run all before you hand it in"
    return "; run from top to bottom" if counts == [*range(1, len(counts) + 1)] else "; its cells were not run in order"


def code_in(content: bytes) -> str:
    """The code cells of a notebook, in order, each after a line `# %% cell N`; magics are calls of `get_ipython`.

    Raises UserError for what is not a notebook, or holds no Python.
    """
    try:
        notebook = json.loads(content)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError("not a notebook, or an incomplete one; open it in Jupyter and save it again") from error
    if not any(source.strip() for source in sources):
        raise UserError("a notebook without code")
    text = "\n".join(f"{CELL}{number}\n{_python(source)}\n" for number, source in enumerate(sources, 1))
    needed = [name for name in ("display", "get_ipython") if f"{name}(" in text]
    return f"{CELL}0\nfrom check.isolated.notebook import {', '.join(needed)}\n{text}" if needed else text


def _python(source: str) -> str:
    """A cell's Python: IPython's own where it is installed, else with each line that only IPython knows replaced."""
    if source.startswith("%%"):
        first, _, rest = source.partition("\n")
        name = first[2:].split()[0] if first[2:].split() else ""
        if f"# %%{name}" in KEPT:
            return f"# {first}\n{_python(rest)}"
        if name == "writefile":
            return f"# {first}\nopen({first.split()[-1]!r}, 'w').write({rest!r})"
        return "\n".join(f"# {line}" for line in source.split("\n"))
    if _wrong_line(source) is None:
        return source
    with contextlib.suppress(ImportError, SyntaxError):
        from IPython.core.inputtransformer2 import TransformerManager

        transformed = TransformerManager().transform_cell(source).removesuffix("\n")
        if transformed.count("\n") == source.removesuffix("\n").count("\n"):  # so that lines keep their numbers
            return transformed
    return _replaced(source)


def _wrong_line(source: str) -> int | None:
    """The line at which Python stops reading a cell."""
    try:
        compile(source, "", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return None
    except SyntaxError as error:
        return error.lineno
    except ValueError:
        return None


def _replaced(source: str) -> str:
    """A cell with each line that only IPython knows as a call of `get_ipython`; all lines keep their numbers."""
    lines = source.split("\n")
    while (number := _wrong_line("\n".join(lines))) and number <= len(lines):
        match = SHELL.match(lines[number - 1])
        if match is None:
            break
        last = number
        while lines[last - 1].endswith("\\") and last < len(lines):
            last += 1
        whole = " ".join([match[3].rstrip("\\"), *(line.strip().rstrip("\\") for line in lines[number:last])])
        target = f"{match[2]} = " if match[2] else ""
        lines[number - 1 : last] = [f"{match[1]}{target}{_call(whole, bool(target))}"] + [""] * (last - number)
    return "\n".join(lines)


def _call(line: str, assigned: bool) -> str:
    """What IPython makes of a line that is not Python."""
    if line.startswith("!"):
        return f"get_ipython().{'getoutput' if assigned else 'system'}({line[1:]!r})"
    name, _, rest = line.removeprefix("%").partition(" ")
    if not line.startswith("%"):
        name, rest = "pinfo", line.strip("?")
    return f"get_ipython().run_line_magic({name!r}, {rest!r})"


class Shell:
    """What `get_ipython()` gives: `%run` and `%time` run Python, anything else does nothing."""

    def run_line_magic(self, name: str, line: str, *_: Any, **__: Any) -> None:
        names = sys._getframe(1).f_globals
        if name.startswith("%"):
            raise NameError(f"cell magic %{name} is not on its cell's first line")
        if name == "time":
            exec(line, names)
        elif name == "run":
            found = (Path(folder) / line.split()[0] for folder in ("", *sys.path))
            file = next((path for path in found if path.is_file()), Path(line.split()[0]))
            exec(compile(file.read_bytes(), str(file), "exec"), names)

    def getoutput(self, *_: Any, **__: Any) -> list[str]:
        return []

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def get_ipython() -> Shell:
    return Shell()


def display(*_: Any, **__: Any) -> None:
    pass
