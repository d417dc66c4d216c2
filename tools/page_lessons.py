"""The page's lessons, from the lessons' files: python -m tools.page_lessons

Writes page/lessons/index.json: of each lesson its docstring, formula, drawing of shapes, commands, documented and
measured losses, and the rows of its diff to the lesson that it starts from, with colours by Pygments (which comes with
rich).
"""

import ast
import difflib
import html
import itertools
import json
import re
from pathlib import Path

from common.parser import Parser
from common.run import run
from exercises.catalogue import EXERCISES
from tools.page_models import lines, log_of
from tools.tables import DOCUMENTED, LESSONS

from pygments.lexers import PythonLexer

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "page" / "lessons" / "index.json"
RUNS = {"task07": "task07_documented_seed42"}  # the log that its documented losses belong next to
PARENTS = {"task08_infinite": "task07", "task09_rope": "task07"}  # others start from the one before
CONTEXT = 3  # equal lines shown around a difference
KINDS = {"Keyword": "k", "Literal.String": "s", "Comment": "c", "Literal.Number": "n", "Name.Class": "d"}
KINDS |= {"Name.Function": "d", "Operator.Word": "k"}
# What a line's code makes that the page can draw; the first that fits.
PICTURES = {
    "rotation": r"rotat",
    "positions": r"position",
    "norm": r"norm",
    "dropout": r"dropout",
    "softmax": r"softmax|\bweights [=@]",
    "mask": r"mask",
    "scale": r"scale",
    "skip": r"x = x \+|return x \+",
    "cache": r"[cC]ache|\bkv\b",
    "heads": r"(?<!lm_)head\b|heads\b|class \w*Attention|\b(qkv|key|query|projection)\b",
    "mlp": r"feed_forward|FeedForward|ReLU|4 \* config\.n_embd",
    "blocks": r"\b([Bb]lock|blocks)\b",
}


def coloured(source: str) -> list[str]:
    """The lines of a Python file as HTML, with a class for keywords, strings, comments, numbers and definitions."""
    lines = [""]
    for kind, text in PythonLexer(stripnl=False).get_tokens(source):
        name = next((short for long, short in KINDS.items() if str(kind).startswith(f"Token.{long}")), "")
        for number, part in enumerate(text.split("\n")):
            if number:
                lines.append("")
            if part:
                part = html.escape(part, quote=False)
                lines[-1] += f'<span class="{name}">{part}</span>' if name else part
    return lines[: source.count("\n")]


def pictures(source: str) -> list[str]:
    """What each line of a lesson makes, as the page calls it; empty for text, comments and other code."""
    text = ("Token.Literal.String", "Token.Comment")
    tokens = PythonLexer(stripnl=False).get_tokens(source)
    code = "".join("\n" * part.count("\n") if str(kind).startswith(text) else part for kind, part in tokens)
    return [next((name for name, line in PICTURES.items() if re.search(line, row)), "") for row in code.splitlines()]


def rows(before: str, after: str) -> list[dict]:
    """The diff of two files, side by side: {kind, left: [number, HTML], right: [number, HTML], picture}."""
    old, new, old_html, new_html = before.splitlines(), after.splitlines(), coloured(before), coloured(after)
    old_pictures, new_pictures = pictures(before), pictures(after)
    found: list[dict] = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(CONTEXT):
        found.append({"kind": "gap"})
        for tag, a, b, c, d in group:
            for n in range(max(b - a, d - c)):
                left = [a + n + 1, old_html[a + n]] if a + n < b else None
                right = [c + n + 1, new_html[c + n]] if c + n < d else None
                drawn = "" if tag == "equal" else new_pictures[c + n] if right else old_pictures[a + n]
                kind = {"equal": "same", "replace": "changed", "delete": "removed", "insert": "added"}[tag]
                found.append({"kind": kind, "left": left, "right": right, "picture": drawn})
    return found


def lesson(name: str, parent: str | None) -> dict:
    """All that the page says of a lesson."""
    source = (ROOT / f"{name}.py").read_text(encoding="utf-8")
    exercise = EXERCISES.get(name)
    log = "" if name == "task08_infinite" else log_of(RUNS.get(name, name))
    return {
        "name": name,
        "title": f"Task {name[5]}",
        "idea": LESSONS[name],
        "parent": parent,
        "docstring": ast.get_docstring(ast.parse(source)),
        "formula": exercise.formula if exercise else "",
        "shapes": exercise.shapes if exercise else "",
        "commands": [f"python {name}.py"]
        + ([f"python -m check start {name}", f"python -m check my_{name}.py"] if exercise else []),
        "run": log.partition("\n")[0].removeprefix("$ ").partition(" --save")[0],
        "log": lines(log),
        "documented": DOCUMENTED.get(name, []),
        "rows": rows((ROOT / f"{parent}.py").read_text(encoding="utf-8") if parent else "", source),
    }


def made() -> str:
    """The file's contents."""
    names = list(LESSONS)
    parents = [None, *(PARENTS.get(name, before) for before, name in itertools.pairwise(names))]
    found = [lesson(name, parent) for name, parent in zip(names, parents, strict=True)]
    return json.dumps({"lessons": found}, ensure_ascii=False, separators=(",", ":")) + "\n"


def main() -> None:
    Parser(description=__doc__).parse_args()
    PLACE.parent.mkdir(exist_ok=True)
    PLACE.write_text(made(), encoding="utf-8")
    print(f"{PLACE.relative_to(ROOT)}: written")


if __name__ == "__main__":
    run(main)
