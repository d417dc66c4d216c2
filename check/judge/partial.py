"""Checks a starter of which only some functions are written, with the lesson's own functions for the others."""

import ast
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from check.isolated.notebook import source_of
from check.judge.result import Result
from exercises.build import definitions, source
from exercises.catalogue import EXERCISES

OWN_FORM = "attention"  # its mask has the form that one's own attention reads: its suite looks at it alone


def judged(task: str, path: Path, missing: Result, check: Callable[[Path], Iterator[Result]]) -> Result:
    """What to say of a file in which something is `missing`: the first property that what is written violates, or what
    to write next."""
    text = source_of(path).decode("utf-8", "replace")
    written = _written(task, text)
    done, names = [name for name, is_there in written.items() if is_there], EXERCISES[task].write
    if not done or len(written) < len(names) or len(done) == len(names):
        return missing
    units = {name.partition(".")[0] for name, is_there in written.items() if not is_there}
    alone = [name for name in done if name.partition(".")[0] not in units]
    of = f"{len(done)} of {len(names)}"
    if alone and EXERCISES[task].suite != OWN_FORM:
        official = definitions(ast.parse(source(task)))  # below the learner's, it takes the place of what is missing
        rest = [f"\n{ast.unparse(node)}\n" for name, node in official.items() if name in units]
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder, path.name).with_suffix(".py")
            whole.write_text("\n".join([text, *rest]), encoding="utf-8")
            found = next((result for result in check(whole) if result.status != "pass"), None)
        if found and found.status == "fail" and _line(found) <= text.count("\n") + 1:
            found.what = f"{of} written; {', '.join(alone)}: {found.what}"
            return found
    following = next(name for name in names if not written[name])
    missing.detail = f"write {following} next ({of} {'is' if len(done) == 1 else 'are'} written)"
    return missing


def _written(task: str, text: str) -> dict[str, bool]:
    """Of the functions that a starter leaves out, those that the file defines: whether they are written."""
    try:
        found = definitions(ast.parse(text))
    except (SyntaxError, ValueError):
        return {}
    return {name: not any(map(_is_hole, ast.walk(found[name]))) for name in EXERCISES[task].write if name in found}


def _is_hole(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) and "NotImplementedError" in ast.dump(node)


def _line(result: Result) -> int:
    """The line of the file at which a failure happened; 0 where it is not known."""
    found = re.search(r", line (\d+): ", result.source)
    return int(found[1]) if found else 0
