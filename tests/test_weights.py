"""The committed weights are what their card says."""

import re

import pytest
import torch

from common import checkpoint
from common.counts import Counts
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.stream import BEST_WEIGHTS, load_model
from studies import speedrun
from tests.lessons import ROOT

CARD = (BEST_WEIGHTS.parent / "README.md").read_text(encoding="utf-8")


def card(row):
    """The first number of a row of the card's tables."""
    return float(re.search(rf"^\| {re.escape(row)} \| ([\d.,]+)", CARD, re.MULTILINE)[1].replace(",", ""))


def test_they_are_small_and_complete():
    assert BEST_WEIGHTS.stat().st_size <= 25e6
    state = checkpoint.load(BEST_WEIGHTS)
    model, vocabulary = load_model(BEST_WEIGHTS)
    assert card("parameters") == sum(parameter.numel() for parameter in model.parameters())
    config = state["config"]
    assert card("characters seen") == state["epoch"] * config["batch_size"] * config["block_size"]
    assert len(vocabulary) == 65


def test_they_are_of_the_best_recorded_seed():
    logs = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "logs").glob("speedrun_best_seed*.txt")]
    best = min(logs, key=lambda log: float(re.search(r"^Final val loss: ([\d.]+)", log, re.MULTILINE)[1]))
    assert f" --seed {card('seed'):.0f} " in best.splitlines()[0]


def test_the_best_seed_is_below_the_goal_by_the_documented_protocol():
    assert card("the GPT alone | random batches: 200 of 64") <= 1.45


@pytest.mark.slow
def test_they_reach_the_losses_on_the_card():
    model, vocabulary = load_model(BEST_WEIGHTS)
    torch.set_num_threads(2)
    corpus = Corpus(DEFAULT_TEXT, model.block_size)
    share = checkpoint.load(BEST_WEIGHTS)["config"]["counts"]
    averaged = speedrun.Average(model, Counts(corpus.splits["train"], len(vocabulary)), share)
    for judged, name in ((model, "the GPT alone"), (averaged, f"averaged with the counts (share {share:g})")):
        nats = score_split(judged, corpus, "val").nats
        assert nats == pytest.approx(card(f"{name} | whole split, blocks side by side"), abs=1e-3)
