"""The exercises' files: one is added in a folder of its own; mistakes in one are told in a line."""

import ast
import os
import subprocess
import sys

from common import courses, exercises
from common.run import UserError
from exercises import build, catalogue
from exercises.catalogue import EXERCISES, STAGES
from tests.lessons import ROOT
from tools.changes import edited

import pytest


def written(folder, name, like, *changes):
    """The file of an exercise that is like another but for changes."""
    text = edited(catalogue.FILES[like].read_text(encoding="utf-8"), changes, like)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return folder / f"{name}.md"


def read(monkeypatch, path):
    monkeypatch.setitem(catalogue.FILES, path.stem, path)
    monkeypatch.setitem(catalogue.FACTS, path.stem, exercises.facts(path))
    return catalogue.read(path.stem)


def command(folder, *words):
    line = [sys.executable, str(ROOT / "check"), *map(str, words)]
    environment = os.environ | {"EXERCISES": str(folder / "own")}
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize(
    ("name", "like", "official", "change"),
    [
        ("cosine", "schedule", "official/schedule.py", ("order = 190", "order = 195")),
        ("relu_mlp", "mlp", "official/gpt.py", ("gelu", "relu")),
    ],
)
@pytest.mark.slow
def test_an_added_exercise_is_known(name, like, official, change, tmp_path):
    own, mine = tmp_path / "own", tmp_path / f"my_{name}.py"
    own.mkdir()
    text = build.source(like).replace(*change)
    (own / f"{name}.py").write_text(text, encoding="utf-8")
    written(own, name, like, change, (official, f"{name}.py"), ("## Hints\n\n1. ", "## Hints\n\n1. Ask me first. "))
    assert command(tmp_path, "start", name).returncode == 0
    assert f'raise NotImplementedError("write {EXERCISES[like].write[0]}")' in mine.read_text(encoding="utf-8")
    assert "Ask me first." in command(tmp_path, "--hint", 1, name).stdout
    result = command(tmp_path, mine)
    assert result.returncode == 2 and f"{name}: not started" in result.stdout
    mine.write_text(text + "MINE = 1\n", encoding="utf-8")
    result = command(tmp_path, name, mine)
    assert result.returncode == 0 and f"{name}: all properties hold." in result.stdout


def test_a_section_takes_the_place_of_a_shared_hint(tmp_path, monkeypatch):
    hints = ("## Hints\n", "## Hints: causality\n\n1. Look at\n   the mask.\n2. Now.\n\n## Hints\n")
    found = read(monkeypatch, written(tmp_path, "task03", "task03", hints, ("../task03", f"{ROOT}/task03")))
    assert found.about("causality") == ["Look at the mask.", "Now."]
    assert found.about("sizes") == STAGES["sizes"] and found.hints == EXERCISES["task03"].hints


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("order =", "order ==="), "between its"),
        (("official =", "oficial ="), "no official between"),
        (("official/schedule", "official/shedule"), "there is no official file"),
        (("## Hints: rise", "## Hnits"), "no section is called 'Hnits'"),
        (("## Hints\n", "## Hints: all\n"), "the section Hints has no numbered hint"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(change, said, tmp_path, monkeypatch):
    changes = [("official/schedule", f"{ROOT}/exercises/official/schedule"), change]
    with pytest.raises(UserError, match=said) as error:
        read(monkeypatch, written(tmp_path, "broken", "schedule", *changes))
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


def test_an_exercise_has_only_its_part_of_a_shared_file():
    for name, classes, modules in (
        ("mlp", {"MLP"}, set()),
        ("block", {"MultiHeadCausalSelfAttention", "MLP", "Block"}, {"math", "torch"}),
    ):
        body = ast.parse(build.source(name)).body
        assert {node.name for node in body if isinstance(node, ast.ClassDef)} == classes
        imported = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
        assert imported == modules


def test_all_starters_are_written_into_a_folder(tmp_path, call):
    call(build, "--into", tmp_path / "new")
    for name in EXERCISES:
        assert (tmp_path / "new" / f"{name}.py").read_text(encoding="utf-8") == build.starter(name)


def test_arguments_of_unknown_names_have_their_places_meaning():
    values = {"model": 1, "x": 2, "max_new_tokens": 3, "temperature": 4}

    def german(modell, tokens, anzahl, temperatur=1.0):
        pass

    def other(model, tokens, n, top_k=None):
        pass

    assert courses.in_order(german, values) == {"modell": 1, "tokens": 2, "anzahl": 3, "temperatur": 4}
    assert courses.in_order(other, values) == {"model": 1, "tokens": 2, "n": 3}
