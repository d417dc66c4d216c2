"""Texts, sizes and streams that no lesson expects."""

import dataclasses
import os
import sys
from pathlib import Path

import task07
import task08_infinite
import task09_rope
from common import evaluate, stream
from common.data import Corpus, tokenize
from common.progress import print_sample
from common.run import UserError
from tests.lessons import TEXT
from tests.test_accidents import CONFIG

import pytest
import torch


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return Corpus(tmp_path / "text.txt", 16)


# Texts, sizes, streams


def test_a_text_takes_a_byte_a_character_or_two_or_four(tmp_path):
    for symbols, dtype in ((65, torch.uint8), (300, torch.int16), (40_000, torch.int32)):
        text = "".join(map(chr, range(0x10000, 0x10000 + symbols)))
        vocabulary, tokens = tokenize(text[::-1] + text)
        assert vocabulary == text and tokens.dtype == dtype
        assert tokens.tolist() == [*reversed(range(symbols)), *range(symbols)]


def test_a_prompt_that_no_model_can_continue_is_refused():
    for tokens in (torch.zeros(1, 0, dtype=torch.long), torch.zeros(4, dtype=torch.long), torch.zeros(1, 3)):
        with pytest.raises(ValueError, match=r"tokens: expected int64 of shape \(B, T\), T at least 1, got"):
            evaluate.check_prompt(tokens)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_sample_leaves_the_model_in_its_mode(stop, corpus):
    model = task07.GPT(CONFIG, len(corpus.vocabulary)).train()

    def interrupt(*_):
        assert not model.training
        raise stop

    model.lm_head.register_forward_hook(interrupt)
    with pytest.raises(stop):
        print_sample(model, corpus)
    assert model.training


def test_an_odd_head_size_cannot_rotate():
    with pytest.raises(ValueError, match="head size: expected an even number, to turn pairs of coordinates, got 3"):
        task09_rope.GPT(dataclasses.replace(task09_rope.Config(), n_embd=24, n_head=8), 20)


def test_a_text_without_line_break_begins_with_its_first_symbol():
    assert stream.encode("", "abc").tolist() == [[0]] and stream.encode("", "\nab").tolist() == [[0]]


def test_a_large_vocabulary_is_evaluated_in_parts(tmp_path, monkeypatch):
    symbols = "".join(chr(0x4E00 + i) for i in range(300))
    (tmp_path / "text.txt").write_text(symbols * 20, encoding="utf-8")
    corpus = Corpus(tmp_path / "text.txt", 8)
    assert corpus.vocabulary == symbols and corpus.decode(corpus.splits["train"][:300]) == symbols
    assert corpus.encode("").dtype == torch.int64

    sizes = []

    class Model(torch.nn.Module):
        def forward(self, tokens):
            sizes.append(tokens.numel() * 300)
            return torch.zeros(*tokens.shape, 300)

    whole = evaluate.estimate_loss(Model(), corpus, "val", 20, 32)
    monkeypatch.setattr(evaluate, "LOGITS_AT_ONCE", 2**16)
    assert evaluate.estimate_loss(Model(), corpus, "val", 20, 32) == pytest.approx(whole)
    assert sizes[0] == 20 * 32 * 8 * 300 and max(sizes[1:]) <= 2**16


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="a device that never ends")
def test_a_text_without_end_is_refused(monkeypatch):
    monkeypatch.setattr("common.data.LARGEST", 10**6)
    with pytest.raises(UserError, match="/dev/zero: more than 0 GB of text"):
        Corpus(Path("/dev/zero"), 8)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_embd": 24, "n_head": 5}, "n_embd 24 does not divide among n_head 5"),
        ({"n_layer": 0}, "n_layer: expected a whole number from 1, got 0"),
        ({"block_size": 8.0}, "block_size: expected a whole number from 1, got 8.0"),
    ],
)
def test_sizes_that_make_no_model_are_named(sizes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(task07.Config(), **sizes)


@pytest.mark.usefixtures("tiny_weights")
def test_task_8_with_a_closed_stdout_ends_quietly(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["task08_infinite.py", "--tokens", "3"])
    monkeypatch.setattr(sys, "stdout", None)
    task08_infinite.main()
