"""Wrong code that is close to right code is caught, by rows of the tables of mutants and restylings."""

from check.stages.generation import DRAWS, _most_by_chance
from check.stages.training import limit
from exercises import build
from tests import local
from tests.mutants import MUTANTS
from tests.restylings import RESTYLINGS

import pytest
import torch


def found(tmp_path, task, text, seed=0):
    path = tmp_path / f"my_{task}.py"
    path.write_text(text, encoding="utf-8")
    return local.first_failure(task, path, seed)


def mutant(task, what):
    return next(each for each in MUTANTS if (each.task, each.what) == (task, what)).text()


def restyled(task, what):
    return next(each for each in RESTYLINGS if (each.task, each.what) == (task, what)).text()


@pytest.mark.parametrize(
    ("task", "what", "got"),
    [
        ("task07", "dropout on the weights alone", "none after the projection, after the MLP"),
        ("task07", "dropout on the values", "numbers of the values dropped there"),
        ("task07", "dropout of whole positions", "whole positions dropped there"),
        ("task07", "one mask of the weights for the batch", "the same in all rows of a batch"),
        ("task07", "dropout on the stream", "one on the stream, after the MLP is added"),
        ("task06", "blocks in a Python list", "blocks: Python's own list, into which PyTorch does not look"),
        ("task01", "weights that begin at zero", "as at first, all 0"),
        ("task02", "weights that begin constant", "all rows of the keys in block 1 equal, also after 100 steps"),
        ("task02", "nucleus sampling", "never "),
        ("task02", "the loss of its own with targets moved", ""),
    ],
)
def test_what_is_nearly_right_is_named(tmp_path, task, what, got):
    result = found(tmp_path, task, mutant(task, what))
    assert result.status == "fail" and result.got.startswith(got), result


def test_dropout_in_the_first_block_only_is_placed(tmp_path):
    result = found(tmp_path, "task07", mutant("task07", "dropout in the first block only"))
    assert result.got.startswith("none on the attention weights in block 2")


@pytest.mark.parametrize("what", ["dropout on the weights alone", "no dropout at all"])
def test_attention_may_drop_less_and_the_verdict_says_where(tmp_path, what):
    path = tmp_path / "multi_head_attention.py"
    path.write_text(restyled("multi_head_attention", what), encoding="utf-8")
    (result,) = (each for each in local.check("multi_head_attention", path) if each.stage == "dropout")
    assert result.status == "pass"
    assert result.detail.startswith("on the attention weights" if "weights" in what else "none; ")


def test_a_mode_that_is_not_restored_is_a_note(tmp_path):
    path = tmp_path / "my_task03.py"
    path.write_text(restyled("task03", "generate leaves the model in training mode"), encoding="utf-8")
    results = local.check("task03", path)
    assert {result.status for result in results} == {"pass"}
    assert [note for result in results for note in result.notes if "generate" in note] == [
        "generate called in evaluation mode leaves the model in training mode"
    ]


def test_chance_stays_within_the_tolerance_of_frequencies():
    p = torch.tensor([0.5, 0.1, 1 / 65, 1e-4])
    deviations = _most_by_chance(p) / (p * (1 - p) / DRAWS).sqrt()
    assert (deviations > 7).all() and deviations[0] < 8


def test_the_limit_of_a_short_run_rises_with_its_start():
    ordinary, large = (4.9, 3.3), (174.0, 27.8)
    assert [limit(first, ordinary, large) for first in (4.2, 4.9, 174.0, 300.0)] == [3.3, 3.3, 27.8, 27.8]
    assert 3.3 < limit(5.0, ordinary, large) < 3.5


@pytest.mark.parametrize("seed", range(3))
def test_the_official_dropout_passes_with_any_draw(tmp_path, seed):
    assert found(tmp_path, "block", build.source("block"), seed) is None
