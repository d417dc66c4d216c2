"""The scripts as their reader meets them: small diffs, one vocabulary, nothing left behind."""

import ast
import io
import itertools
import re
import subprocess
import sys
import tokenize

import pytest

from tests.lessons import CORE, ROOT, TASKS

STEPS = list(itertools.pairwise([*CORE, "task07", "task09_rope"]))  # task 8 writes with the model of another
MOST_CHANGED_LINES = {("task06", "task07"): 85}  # added and removed; the step to scale is the one large one

# What each step may change; every other definition that two neighbours share is the same, to the letter.
CHANGED = {
    ("task01", "task02"): {"Config", "SelfAttention", "GPT.__init__", "GPT.forward"},
    ("task02", "task03"): {"GPT.__init__", "GPT.forward"},
    ("task03", "task04"): {"Config", "GPT.__init__", "GPT.forward"},
    ("task04", "task05"): {"SelfAttention", "FeedForward", "Block"},
    ("task05", "task06"): {"Block", "GPT.__init__", "GPT.forward", "main"},
    ("task06", "task07"): {"Config", "attention", "SelfAttention", "FeedForward", "GPT.__init__", "main"},
    ("task07", "task09_rope"): {"SelfAttention", "GPT.__init__", "GPT.forward"},
}


def source(name):
    return (ROOT / f"{name}.py").read_text()


def definitions(name):
    """Top-level definitions, in order, and the methods of GPT one by one: name → text."""
    text, found = source(name), {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == "GPT":
            for part in node.body:
                key = f"GPT.{part.name}" if isinstance(part, ast.FunctionDef) else "GPT docstring"
                found[key] = ast.get_source_segment(text, part)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = ast.get_source_segment(text, node)
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            found[f"statement {ast.unparse(node)[:40]}"] = ast.get_source_segment(text, node)
    return found


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_a_step_is_a_small_diff(earlier, later):
    diff = subprocess.run(
        ["git", "diff", "--no-index", "--numstat", f"{earlier}.py", f"{later}.py"],
        cwd=ROOT, capture_output=True, text=True,
    ).stdout  # fmt: skip
    added, removed = map(int, diff.split()[:2])
    assert added + removed <= MOST_CHANGED_LINES.get((earlier, later), 40)


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_a_step_changes_what_its_lesson_is_about_and_nothing_else(earlier, later):
    before, after = definitions(earlier), definitions(later)
    different = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    assert {name.replace("GPT docstring", "GPT") for name in different} == CHANGED[earlier, later]
    gone = {name for name in before.keys() - after.keys() if not name.startswith("statement from common.")}
    assert not gone, "a definition of the earlier script is gone"


@pytest.mark.parametrize(("earlier", "later"), STEPS)
def test_definitions_keep_their_order(earlier, later):
    before, after = list(definitions(earlier)), list(definitions(later))
    assert [name for name in after if name in before] == [name for name in before if name in after]


@pytest.mark.parametrize("name", TASKS)
def test_a_script_leaves_nothing_behind(name):
    text = source(name)
    assert not re.search(r"#\s*(NEW|TODO|FIXME|XXX)", text)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            words = token.string.lstrip("# ")
            fine = re.fullmatch(r"\(.*\)|[\w ]+|fmt: skip", words)  # shapes and single words would parse as code
            assert fine or not _is_code(words), f"code in a comment: {token.string}"


def _is_code(text):
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in TASKS if name != "task08_infinite"])
def test_the_docstring_says_what_to_expect_and_how_to_see_the_step(name):
    doc = ast.get_docstring(ast.parse(source(name)))
    assert doc.startswith(f"Task {int(name[4:6])}: ")
    assert "arXiv" in doc
    unit = "seconds" if name in CORE else "minutes"
    assert re.search(rf"final validation loss of \d\.\d+ nats per character after (about )?\d+ {unit}", doc)
    for earlier, later in STEPS:
        if later == name:
            assert f"git diff --no-index {earlier}.py {name}.py" in doc


def test_importing_trains_nothing_and_prints_nothing():
    code = "from signal import *; before = getsignal(SIGINT); import {}; print(getsignal(SIGINT) is before)"
    code = code.format(", ".join(TASKS))
    command = [sys.executable, "-c", code, "--epochs", "1"]  # should a script train after all, then briefly
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
    assert result.stdout == "True\n"  # nor is the importer's Ctrl-C touched
