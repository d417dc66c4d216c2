"""The counting model against its formula, written out with dictionaries."""

import random
from collections import Counter, defaultdict

import pytest
import torch

import common.counts
from common.counts import Counts, Guesses

V = 5


def discounts(times):
    """Chen and Goodman's three discounts, from how many n-grams were met once, twice, …"""
    met = Counter(times)
    y = met[1] / max(1, met[1] + 2 * met[2])
    return [0.0, *(max(0.1, i - (i + 1) * y * met[i + 1] / max(1, met[i])) for i in (1, 2, 3))]


def kneser_ney(text, n):
    """p(token, context): the longest contexts by how often, shorter ones by how many different tokens came before."""
    tables = []
    grams = Counter(tuple(text[i : i + n + 1]) for i in range(len(text) - n))
    for _ in range(n + 1):
        contexts = defaultdict(dict)
        for gram, times in grams.items():
            contexts[gram[:-1]][gram[-1]] = times
        tables.insert(0, (contexts, discounts(grams.values())))
        grams = Counter(gram[1:] for gram in grams)

    def p(token, context):
        result = 1 / V
        for length, (contexts, discount) in enumerate(tables):
            times = contexts.get(tuple(context[len(context) - length :])) if length <= len(context) else None
            if times:
                total = sum(times.values())
                taken = {each: discount[min(3, number)] for each, number in times.items()}
                own = times.get(token, 0) - taken.get(token, 0)
                result = own / total + sum(taken.values()) / total * result
        return result

    return p


@pytest.mark.parametrize("n", [0, 1, 3])
def test_it_computes_the_formula(n):
    generator = random.Random(3)
    text = generator.choices(range(V), weights=[5, 3, 2, 1, 1], k=200)
    p = kneser_ney(text, n)
    rows = torch.tensor([generator.choices(range(V), k=9) for _ in range(4)])
    got = Counts(torch.tensor(text), V, n)(rows).exp()
    expected = [[[p(token, row[: t + 1]) for token in range(V)] for t in range(9)] for row in rows.tolist()]
    torch.testing.assert_close(got, torch.tensor(expected), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(got.sum(dim=-1), torch.ones(4, 9))


def test_a_large_vocabulary_shortens_the_context_to_what_64_bits_hold():
    text = torch.randint(1000, (300,))
    counts = Counts(text, 1000, n=9)
    assert len(counts.tables) == 6  # 1000 ** 6 < 2 ** 63 < 1000 ** 7
    assert counts(text[None, :20]).exp().sum(dim=-1).allclose(torch.ones(20))


def test_tables_stay_small_and_guesses_follow(monkeypatch):
    text = torch.randint(V, (300,))
    monkeypatch.setattr(common.counts, "LARGEST", 130)  # 5 tokens after each of 25 pairs: 125
    assert len(Counts(text, V, n=4).tables) == 3
    assert Guesses(text, V, n=4).n == 2


def test_what_was_never_met_is_still_possible():
    text = torch.tensor([0, 1, 2, 1] * 3 + [0])  # every count is 3 or more, or 1
    assert Counts(text, V, 2)(torch.tensor([[0, 1]])).isfinite().all()


def test_it_sees_no_future_and_no_other_row():
    text = torch.randint(V, (300,))
    counts, rows = Counts(text, V, 3), torch.randint(V, (2, 9))
    changed = rows.clone()
    changed[0, 5:] = (changed[0, 5:] + 1) % V
    assert torch.equal(counts(rows)[0, :5], counts(changed)[0, :5])
    assert torch.equal(counts(rows)[1], counts(changed)[1])
    assert torch.equal(counts(rows[:, 2:])[:, 3:], counts(rows)[:, 5:])  # three tokens back and no further


def test_guesses_are_what_the_counts_say_after_a_known_context():
    torch.manual_seed(0)
    text = torch.randint(V, (60,))
    counts, guess = Counts(text, V, 3), Guesses(text, V, 3)
    rows = torch.randint(V, (40, 5)).tolist()
    known = [row for row in rows if any(text[i : i + 3].tolist() == row[-3:] for i in range(57))]
    assert 0 < len(known) < len(rows)
    for row in rows:
        if row in known:
            torch.testing.assert_close(guess(row), counts(torch.tensor([row]))[0, -1])
        else:
            assert guess(row) is None
    assert guess(known[0][-2:]) is None
