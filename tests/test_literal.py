"""Homeworks written literally (tests/cases/literal): each passes, or is told what its author expects to be told."""

import re

from check.suites import PIECES
from tests.lessons import ROOT
from tests.local import first_failure

import pytest

CASES = ROOT / "tests" / "cases" / "literal"
TOLD = {  # those that are not to pass: the stage, and words of what is said
    ("000/03_training.ipynb", "training"): ("interface", "no max_iters"),
    ("001/ex7_training_main.py", "training"): ("interface", "neither an argument nor a global gives main its model"),
    ("003/block_attention_block.py", "block"): ("dropout", "none on the attention weights"),
    ("003/block_attention_only.py", "block"): ("interface", "no argument dropout"),
    ("003/block_post_ln.py", "block"): ("interface", "no argument dropout"),
}


def rows():
    """File, sentence and piece of each row of the table in README.md."""
    for line in (CASES / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            file, _, sentence, pieces, _ = line.strip("| ").split(" | ")
            for piece in re.findall("[a-z_]+", pieces.replace("(or", "")):
                if piece in PIECES:
                    yield pytest.param(file.strip("`"), piece, id=f"{file.strip('`')}, {piece}: {sentence}")


@pytest.mark.parametrize(("file", "piece"), [*rows()])
def test_a_literal_file_passes_or_is_told_why_not(file, piece, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some save their model
    found = first_failure(piece, CASES / file)
    if (file, piece) in TOLD:
        stage, words = TOLD[file, piece]
        assert found.stage == stage and words in f"{found.got} {found.what}", found
    else:
        assert found is None, found
