"""Homeworks written literally (tests/cases/literal): each passes, or is told what its author expects to be told."""

import json
import re

from check.command.names import task_named, told_by
from check.isolated.notebook import executed
from exercises.catalogue import PIECES
from tests.lessons import ROOT
from tools.in_process import first_failure

import pytest

CASES = ROOT / "tests" / "cases" / "literal"
TOLD = {  # those that are not to pass: the stage, and words of what is said
    ("000/03_training.ipynb", "training"): ("interface", "no max_iters"),
    ("001/ex7_training_main.py", "training"): ("interface", "neither an argument nor a global gives main its model"),
    ("003/block_attention_block.py", "block"): ("dropout", "none on the attention weights"),
    ("003/block_attention_only.py", "block"): ("interface", "no argument dropout"),
    ("003/block_post_ln.py", "block"): ("interface", "no argument dropout"),
    ("002/config/task02_projection.py", "task02"): ("parameters", "sa_heads.proj 600"),
    ("002/config/task03_linear.py", "task03"): ("logits", "without its activation"),
    ("002/config/task04_linear.py", "task04"): ("logits", "without its activation"),
    ("002/config/task05_no_projection.py", "task05"): ("parameters", "Which layer mixes the heads"),
    ("002/config/task07_paper_dropout.py", "task07"): ("dropout", "none on the attention weights"),
    ("002/config/task09_rmsnorm_swiglu.py", "task09"): ("parameters", "unknown change"),
}
TOLD_ALL = {"002/globals": ("interface", "Are the globals"), "002/script": ("identity", "import")}


def rows():
    """File, sentence and piece of each row of the table in README.md."""
    for line in (CASES / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            file, _, sentence, pieces, _ = line.strip("| ").split(" | ")
            for piece in re.findall("[a-z_]+[0-9]*", pieces.replace("(or", "")):
                if piece in PIECES or piece.startswith("task"):
                    yield pytest.param(file.strip("`"), piece, id=f"{file.strip('`')}, {piece}: {sentence}")


@pytest.mark.parametrize(("file", "piece"), [*rows()])
def test_a_literal_file_passes_or_is_told_why_not(file, piece, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some save their model
    found = first_failure(task_named(piece), CASES / file)
    told = TOLD.get((file, piece)) or TOLD_ALL.get(file.rpartition("/")[0])
    if told:
        assert found.stage == told[0] and told[1] in f"{found.got} {found.what} {found.hint} {found.detail}", found
    else:
        assert found is None, found


@pytest.mark.parametrize(
    ("file", "piece"),
    [
        ("000/modeling_attention.py", "multi_head_attention"),
        ("000/transformer_lm/modeling_transformer.py", "encoder"),
        ("000/02_transformer_all_in_one.ipynb", "encoder"),
        ("003/attention_QKV_only.py", "attention"),
        ("003/transformer_paper.py", "transformer"),
        ("004/src/model/attention/impl.py", "multi_head_attention"),
        ("001/homework.py", "gpt"),
    ],
)
def test_path_or_class_tell_the_piece(file, piece):
    assert told_by(CASES / file) == piece


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([1, 2], "top to bottom"),
        ([2, 1], "not run in order"),
        ([1, 3], "not run in order"),
        ([1, None], "you have not run 1 of 2 cells: Restart and run all"),
    ],
)
def test_a_notebooks_order_of_execution_is_told(counts, said, tmp_path):
    cells = [{"cell_type": "code", "source": "x = 1", "execution_count": count} for count in counts]
    path = tmp_path / "my_mlp.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert said in executed(path)
