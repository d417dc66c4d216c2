"""The hyperparameter search: resumable, ranked, and never shown the validation text."""

import dataclasses
import sys

import pytest
import torch

import task07
from common.data import Corpus
from common.exits import UserError
from common.options import DEFAULT_TEXT
from studies import search


def test_a_tuning_split_holds_training_text_only():
    corpus = Corpus(DEFAULT_TEXT, 16)
    before = corpus.splits["train"]
    corpus.tune()
    assert torch.equal(torch.cat([corpus.splits["train"], corpus.splits["val"]]), before)
    assert len(corpus.splits["val"]) == pytest.approx(len(before) / 10, abs=1)


def test_without_optuna_the_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r'this needs optuna: pip install "\.\[search\]"'):
        search.open_study("sqlite:///none.db")


def small_search(monkeypatch, tmp_path, *flags):
    """A search among tiny models, trained for a second each."""
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question:\n" * 25)
    small = dataclasses.replace(task07.PRESETS["laptop"], block_size=8)
    monkeypatch.setitem(task07.PRESETS, "laptop", small)
    sizes = {"n_embd": 64, "n_layer": 3, "head_size": 32, "batch_size": 8}
    monkeypatch.setattr(search, "suggest", lambda trial: search.MIDDLE | sizes)
    flags = [*flags, "--seconds", "1", "--storage", f"sqlite:///{tmp_path}/search.db"]
    monkeypatch.setattr(sys, "argv", ["search.py", *flags, "--data", str(tmp_path / "text.txt")])
    search.main()


@pytest.mark.slow
def test_a_search_goes_on_where_it_stopped_and_reports(monkeypatch, capsys, tmp_path):
    pytest.importorskip("optuna")
    for trials in ("1", "3", "3"):
        small_search(monkeypatch, tmp_path, "--trials", trials)
    out = capsys.readouterr().out
    assert [f"trial {n}: " in out for n in range(4)] == [True, True, True, False]
    assert len(search.open_study(f"sqlite:///{tmp_path}/search.db").get_trials()) == 3


NUMBERS = {
    "train loss", "train perplexity", "learning rate", "tokens per second",
    "tuning loss", "tuning perplexity", "tuning accuracy",
}  # fmt: skip


@pytest.mark.slow
def test_tensorboard_follows_each_trial(monkeypatch, tmp_path):
    pytest.importorskip("optuna")
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    small_search(monkeypatch, tmp_path, "--trials", "1", "--track", "tensorboard")
    events = EventAccumulator(str(tmp_path / "runs" / "trial_0")).Reload()
    assert set(events.Tags()["scalars"]) >= NUMBERS
    assert len(events.Scalars("train loss")) == search.REPORTS * search.LOGGED
    losses = events.Scalars("tuning loss")
    assert len(losses) == search.REPORTS and losses[0].step < losses[1].step
    (trial,) = search.open_study(f"sqlite:///{tmp_path}/search.db").get_trials()
    assert losses[-1].value == pytest.approx(trial.value)
    assert events.Scalars("tokens per second")[-1].value > 0


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["offline", None])
def test_wandb_follows_each_trial_without_a_network_or_a_login(monkeypatch, tmp_path, capfd, mode):
    pytest.importorskip("optuna")
    wandb = pytest.importorskip("wandb")
    logged, log = set(), wandb.Run.log

    def remember(self, numbers, step):
        logged.update(numbers)
        log(self, numbers, step=step)

    monkeypatch.setattr(wandb.Run, "log", remember)
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if mode:
        monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.chdir(tmp_path)
    small_search(monkeypatch, tmp_path, "--trials", "1", "--track", "wandb")
    assert list((tmp_path / "runs" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert logged == NUMBERS
    out, err = capfd.readouterr()
    assert err == "" and all(line.startswith("trial 0: ") for line in out.splitlines())


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_without_a_tracker_the_line_names_the_extra(monkeypatch, tmp_path, package):
    pytest.importorskip("optuna")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf'this needs {package}: pip install "\.\[track\]"'):
        small_search(monkeypatch, tmp_path, "--trials", "1", "--track", package)
