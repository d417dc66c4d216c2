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


@pytest.mark.slow
def test_a_search_goes_on_where_it_stopped_and_reports(monkeypatch, capsys, tmp_path):
    pytest.importorskip("optuna")
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question:\n" * 25)
    small = dataclasses.replace(task07.PRESETS["laptop"], block_size=8)
    monkeypatch.setitem(task07.PRESETS, "laptop", small)
    sizes = {"n_embd": 64, "n_layer": 3, "head_size": 32, "batch_size": 8}
    monkeypatch.setattr(search, "suggest", lambda trial: search.MIDDLE | sizes)
    storage = f"sqlite:///{tmp_path}/search.db"
    for trials in ("1", "3", "3"):
        flags = ["--trials", trials, "--seconds", "1", "--storage", storage, "--data", str(tmp_path / "text.txt")]
        monkeypatch.setattr(sys, "argv", ["search.py", *flags])
        search.main()
    out = capsys.readouterr().out
    assert [f"trial {n}: " in out for n in range(4)] == [True, True, True, False]
    assert len(search.open_study(storage).get_trials()) == 3
