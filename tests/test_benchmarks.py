"""What the benchmarks and the project's tools measure and write, in small."""

import itertools
import re

import task07
from benchmarks import gain, pace, step
from common import machine, precision
from common.checkpoint import load, save_run
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.run import UserError
from common.stream import WEIGHTS
from studies import setup
from tests.lessons import LOGS, parse_log
from tools import evaluate, export, record

import pytest
import torch

CARD = (WEIGHTS.parent / "README.md").read_text(encoding="utf-8")


def test_a_profile_finds_the_matrix_products():
    numbers = torch.ones(300, 300)
    spent = step.measure(lambda: (numbers @ numbers).relu())
    assert spent["aten::mm"] > 0 and spent.keys() & step.PRODUCTS == {"aten::mm"}


def test_the_machine_is_described_with_its_speed():
    assert re.search(r"\d+ cores, \S+ \(.+, \w+\), PyTorch \S+; GEMM on one core: float32 \d+", machine.describe())


@pytest.mark.parametrize(("flags", "dtype"), [((), "bfloat16"), (("--float32",), "float32")])
def test_the_pace_is_that_of_the_median_step(monkeypatch, call, flags, dtype):
    monkeypatch.setattr(precision, "product_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(pace, "describe", lambda: "a machine")
    monkeypatch.setattr(setup.time, "perf_counter", itertools.count(step=0.5).__next__)
    sizes = ["n_embd=8", "n_head=2", "n_layer=1", "block_size=8", "batch_size=2", "max_steps=600"]
    _, out, _ = call(pace, "task07", *sizes, "--steps", 2, *flags)
    assert "task07: 0.500 s a step (median of 2)" in out and "600 steps in 5.0 min" in out
    assert f"products in {dtype}\n# 1 threads, a machine" in out


def test_the_gain_can_read_its_logs():
    for name in ("task07", "speedrun_laptop"):
        for log in gain.LOGS[name].glob(f"{name}_seed*.txt"):
            text = log.read_text(encoding="utf-8")
            assert re.search(r"^# \d+ s from start", text, re.M) and re.search(r"^Final val loss: [\d.]+", text, re.M)
    assert gain.BEST_STEP == 4000


@pytest.mark.slow
def test_a_recorded_run_is_its_command_its_output_and_the_machine(monkeypatch, call, tmp_path):
    monkeypatch.setattr(record, "LOGS", tmp_path)
    call(record, "task01", "--seeds", 7, "--", "--steps", 1)
    text = (tmp_path / "task01_seed7.txt").read_text(encoding="utf-8")
    assert text.startswith("$ python task01.py --steps 1 --seed 7\nEpoch 0: ")
    assert re.search(r"\n# \d+ s from start to end on \d+ cores.*GFLOP/s\n$", text)


# The committed weights are what their card says.


def test_the_weights_are_small_complete_and_task_7s():
    assert WEIGHTS.stat().st_size <= 25e6 and card("the GPT alone | random batches: 200 of 64") <= 1.45
    model, config, vocabulary, state = setup.load_any(WEIGHTS)
    assert state["model_name"] == "task07" and len(vocabulary) == 65
    assert f"| parameters | {setup.parameters(model):,}," in CARD
    assert f"{state['step'] * config.batch_size * config.block_size:,} characters in {state['step']:,} steps" in CARD
    log = re.search(r"\(\.\./docs/logs/([^)]+)\)", CARD)[1]
    assert parse_log((LOGS / log).read_text(encoding="utf-8").split("\n", 1)[1].split("Final")[0] + "\n")


def card(row):
    """The loss in a row of the card's table."""
    return float(re.search(rf"^\| {re.escape(row)} \| ([\d.]+)", CARD, re.MULTILINE)[1])


@pytest.mark.slow
def test_they_reach_the_loss_on_the_card():
    model, config, _, _ = setup.load_any(WEIGHTS)
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    nats = score_split(model, corpus, "val").nats
    assert nats == pytest.approx(card("the GPT alone | whole split, blocks side by side"), abs=1e-3)


@pytest.fixture
def small_run(tmp_path, monkeypatch):
    """A checkpoint of task 7 in small, its log, and a place for the weights made of it."""
    config = setup.preset(task07, block_size=16, n_embd=24, n_head=3, n_layer=2)
    corpus = Corpus(DEFAULT_TEXT, 16)
    torch.manual_seed(0)
    save_run(tmp_path / "run.pt", task07.GPT(config, 65), [], corpus, config, 9)
    monkeypatch.setattr(export, "WEIGHTS", tmp_path / "weights" / "shakespeare.pt")
    monkeypatch.setattr(evaluate, "DOCUMENTED", (2, 3))
    return tmp_path


def test_weights_and_their_card_are_made_from_a_run_and_its_log(small_run, call):
    log = "$ python task07.py --seed 1 --save run.pt\nEpoch 0: …\n\n# 12 s from start to end on 2 cores\n"
    (small_run / "log.txt").write_text(log, encoding="utf-8")
    _, out, _ = call(export, small_run / "run.pt", small_run / "log.txt")
    made = (small_run / "weights" / "README.md").read_text(encoding="utf-8")
    assert out == made
    assert (
        "`python task07.py --seed 1 --save RUN`" in made
        and "12 seconds, with the threads of the command, on 2 cores" in made
    )
    assert "| the GPT alone | whole split, blocks side by side | 4." in made
    kept = {"format", "model_name", "step", "config", "vocabulary", "model"}
    assert load(small_run / "weights" / "shakespeare.pt").keys() == kept


def test_weights_of_another_text_are_refused(small_run):
    (small_run / "text.txt").write_text("abc" * 200)
    corpus = Corpus(small_run / "text.txt", 16)
    config = setup.preset(task07, block_size=16, n_embd=24, n_head=3, n_layer=2)
    save_run(small_run / "abc.pt", task07.GPT(config, 3), [], corpus, config, 9)
    with pytest.raises(UserError, match="learnt from another text"):
        evaluate.table(small_run / "abc.pt")
