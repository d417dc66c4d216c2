"""A model or a text of your own in the studies."""

import dataclasses
import re

import task09_rope
from common.run import UserError
from studies import convergence, overlap, own, reverse, words
from studies.questions import recurrence
from tests.lessons import ROOT

import pytest
import torch

# Your own model and text.


@pytest.mark.parametrize("name", ["exercises/official/transformer", "exercises/official/gpt", "task06", "task07"])
def test_a_model_of_your_own_learns_in_a_study(printed, monkeypatch, name):
    config = dataclasses.replace(task09_rope.Config(), block_size=5, n_embd=8, n_head=2, n_layer=1)
    assert own.load(ROOT / f"{name}.py", config, 7)(torch.zeros(2, 4, dtype=torch.long)).shape == (2, 4, 7)
    monkeypatch.setattr(reverse, "TESTED", 5)
    out = printed(reverse, "--model", ROOT / f"{name}.py", "--steps", 50, "--length", 8)
    assert re.search(r"First half: loss \d\.\d{4}, ln 16 = 2\.7726", out)


def test_a_file_without_a_model_is_named(tmp_path):
    (tmp_path / "empty.py").write_text("")
    config = task09_rope.Config()
    for path, message in (
        (tmp_path / "none.py", "no such file"),
        (ROOT / "README.md", "expected a .py file"),
        (tmp_path / "empty.py", "defines no Transformer or GPT"),
    ):
        with pytest.raises(UserError, match=message):
            own.load(path, config, 7)


def test_a_text_of_your_own_is_cut_and_its_last_tenth_held_out(tmp_path):
    for number in range(20):
        (tmp_path / f"{number:02}.txt").write_text(f"play {number}\n" * 3)
    train, held_out, _ = words.read_own(tmp_path)
    assert len(train) == 18 and held_out == "play 18\n" * 3 + "play 19\n" * 3
    (tmp_path / "one.txt").write_text("".join(f"line {number}\n" for number in range(100)))
    train, held_out, _ = words.read_own(tmp_path / "one.txt")
    assert "".join(train) + held_out == (tmp_path / "one.txt").read_text()
    assert held_out == "".join(f"line {number}\n" for number in range(90, 100))
    (tmp_path / "short.txt").write_text("one line")
    with pytest.raises(UserError, match="one line of text; nothing to hold out"):
        words.read_own(tmp_path / "short.txt")


def test_the_studies_of_sequences_and_curves_run_in_small(monkeypatch, capsys):
    curve = next(each for each in convergence.models() if each.mask == "off by one")
    model = convergence.build(curve, 11, seed=1)
    tokens = torch.randint(11, (1, 8))
    later = tokens.clone()
    later[:, 5] = (later[:, 5] + 1) % 11
    changed = (model(tokens) != model(later)).any(dim=-1)[0].tolist()
    assert changed[4] and not any(changed[:2])


def test_ten_right_models_and_three_faulty_ones_are_compared():
    wrong = [m.name for m in convergence.models() if m.mask != "right" or m.learning_rate != convergence.LEARNING_RATE]
    assert len(convergence.models()) - len(wrong) == 10 and len(wrong) == 3


def test_how_far_back_a_layer_feels_is_told_before_and_after_a_training():
    far = recurrence.reaches(steps=2)
    assert list(far) == [f"{layer}, {when}" for layer in ("LSTM", "attention") for when in ("untrained", "trained")]
    for values in far.values():
        assert values.shape == (64,) and values.isfinite().all() and values[0] > values[-1]


def test_overlapping_windows_start_anywhere_and_others_side_by_side():
    text = ["".join(chr(97 + n % 26) for n in range(400))]
    side_by_side, overlapping = (
        kind(text, text[0][:50], list, 1, 8) for kind in (words.Sequences, overlap.Overlapping)
    )
    assert side_by_side.splits["train"].tolist() == overlapping.splits["train"].tolist()
    rows = torch.cat([side_by_side.batch("train", 7)[0] for _ in range(7)])
    assert len({tuple(row.tolist()) for row in rows}) <= 13 and len(rows) == 49  # 8 and 26 meet after 13 starts
    assert len({tuple(row.tolist()) for row in overlapping.batch("train", 400)[0]}) == 26
