"""The studies' questions in small, and what they say when a package is missing."""

import math
import sys

import pytest
import torch

import task07
from common.exits import UserError
from studies import reverse
from studies.extras import optional


def learned(steps=400):
    torch.manual_seed(42)
    model, config = reverse.build(8, steps)
    reverse.learn(model, config, 8)
    return model


@pytest.mark.slow
def test_a_reversal_is_learned_and_its_first_half_is_not():
    model = learned()
    first, accuracy = reverse.judge(model, 8)
    assert accuracy >= 0.999
    assert first == pytest.approx(math.log(reverse.SYMBOLS), rel=0.02)
    maps = reverse.attention_maps(model, 8)
    assert [tuple(weights.shape) for weights in maps] == [(15, 15)] * 2
    for weights in maps:
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(15))
    # Position t predicts symbol t + 1, shown at 14 - t.
    assert max(weights[range(8, 15), [14 - t for t in range(8, 15)]].mean() for weights in maps) > 0.5


@pytest.mark.slow
def test_a_leaking_mask_shows_in_the_first_half(monkeypatch):
    monkeypatch.setattr(task07, "causal_mask", lambda T: torch.ones(T, T, dtype=torch.bool).tril(1))
    first, _ = reverse.judge(learned(200), 8)
    assert first < 0.98 * math.log(reverse.SYMBOLS)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r'this needs matplotlib: pip install "\.\[plots\]"'):
        optional("matplotlib", "plots")
