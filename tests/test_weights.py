"""The committed weights are what their card says."""

import re

import pytest
import torch

from common import checkpoint
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.stream import BEST_WEIGHTS, load_model
from tests.lessons import ROOT

CARD = (BEST_WEIGHTS.parent / "README.md").read_text(encoding="utf-8")


def card(row):
    """The first number of a row of the card's table."""
    return float(re.search(rf"^\| {row} \| ([\d.,]+)", CARD, re.MULTILINE)[1].replace(",", ""))


def test_they_are_small_and_complete():
    assert BEST_WEIGHTS.stat().st_size <= 25e6
    state = checkpoint.load(BEST_WEIGHTS)
    model, vocabulary = load_model(BEST_WEIGHTS)
    assert card("parameters") == sum(parameter.numel() for parameter in model.parameters())
    config = state["config"]
    assert card("characters seen") == state["epoch"] * config["batch_size"] * config["block_size"]
    assert len(vocabulary) == 65


def test_they_are_of_the_best_recorded_seed():
    logs = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "logs").glob("task09_rope_seed*.txt")]
    best = min(logs, key=lambda log: float(re.search(r"^Final val loss: ([\d.]+)", log, re.MULTILINE)[1]))
    assert f" --seed {card('seed'):.0f} " in best.splitlines()[0]


@pytest.mark.slow
def test_they_reach_the_loss_on_the_card():
    model, _ = load_model(BEST_WEIGHTS)
    torch.set_num_threads(2)
    score = score_split(model, Corpus(DEFAULT_TEXT, model.block_size), "val")
    assert score.nats == pytest.approx(card("whole split, blocks side by side"), abs=1e-3)
