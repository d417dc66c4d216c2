"""The record: the speedrun, its ablation and growth, the usual recipe, mixtures of models."""

import dataclasses
import random
import re
from collections import Counter, defaultdict

import task07
import task09_rope
from common.data import Corpus, Tokens
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.precision import low_precision
from common.run import UserError
from record import ablation, growth, mixture, recipe, speedrun, tuning
from studies import counts, setup
from studies.counts import Counts
from studies.generation.speculative import CountsGuess
from tests.lessons import ROOT, TEXT, lively
from variants.convolutions import ShortConvolution

import pytest
import torch
from torch.nn import functional as F

V = 5
LOSS = r"\d\.\d{4}"


# The model that counts.


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


def test_tables_hold_what_64_bits_do_stay_small_and_guesses_follow(monkeypatch):
    text = torch.randint(1000, (300,))
    model = Counts(text, 1000, n=9)
    assert len(model.tables) == 6  # 1000 ** 6 < 2 ** 63 < 1000 ** 7
    assert model(text[None, :20]).exp().sum(dim=-1).allclose(torch.ones(20))
    text = torch.randint(V, (300,))
    monkeypatch.setattr(counts, "LARGEST", 130)  # 5 tokens after each of 25 pairs: 125
    assert len(Counts(text, V, n=4).tables) == 3
    assert CountsGuess(text, V, n=4).n == 2


def test_what_was_never_met_is_still_possible():
    text = torch.tensor([0, 1, 2, 1] * 3 + [0])  # every count is 3 or more, or 1
    assert Counts(text, V, 2)(torch.tensor([[0, 1]])).isfinite().all()


def test_it_sees_no_future_and_no_other_row():
    text = torch.randint(V, (300,))
    model, rows = Counts(text, V, 3), torch.randint(V, (2, 9))
    changed = rows.clone()
    changed[0, 5:] = (changed[0, 5:] + 1) % V
    assert torch.equal(model(rows)[0, :5], model(changed)[0, :5])
    assert torch.equal(model(rows)[1], model(changed)[1])
    assert torch.equal(model(rows[:, 2:])[:, 3:], model(rows)[:, 5:])  # three tokens back and no further


def test_guesses_are_what_the_counts_say_after_a_known_context():
    torch.manual_seed(0)
    text = torch.randint(V, (60,))
    model, guess = Counts(text, V, 3), CountsGuess(text, V, 3)
    rows = torch.randint(V, (40, 5)).tolist()
    known = [row for row in rows if any(text[i : i + 3].tolist() == row[-3:] for i in range(57))]
    assert 0 < len(known) < len(rows)
    for row in rows:
        if row in known:
            torch.testing.assert_close(guess(row), model(torch.tensor([row]))[0, -1])
        else:
            assert guess(row) is None
    assert guess(known[0][-2:]) is None


# The speedrun, its ablation, growth and the recipe.


SMALL = setup.preset(speedrun, block_size=16, n_embd=24, n_head=3, n_layer=2)
PLAIN = dataclasses.replace(SMALL, convolutions=False, qk_norm=False, squared_relu=False, zero_outputs=False)


def test_without_its_ideas_it_is_task_9s_model():
    torch.manual_seed(0)
    ours = speedrun.GPT(PLAIN, 11)
    config = setup.preset(task09_rope, block_size=16, n_embd=24, n_head=3, n_layer=2, dropout=0.0)
    theirs = task09_rope.GPT(config, 11)
    weights = {name: torch.zeros_like(value) for name, value in theirs.state_dict().items()}  # biases: none
    theirs.load_state_dict(weights | ours.state_dict())
    for block in theirs.blocks:
        block.attention.scale = (config.n_embd // config.n_head) ** -0.5  # the record divides as the paper does
    tokens = torch.randint(11, (2, 16))
    torch.testing.assert_close(ours(tokens), theirs(tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("idea", [None, *speedrun.IDEAS])
def test_no_position_sees_the_future_with_an_idea_or_without(idea):
    config = dataclasses.replace(SMALL, **speedrun.IDEAS.get(idea, {}))
    model = lively(speedrun.GPT(config, 11), std=0.3)
    tokens = torch.randint(11, (2, 16))
    changed = tokens.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % 11
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :9], after[:, :9])
    assert not torch.isclose(before[:, 9:], after[:, 9:]).all(dim=-1).any()


def test_zero_outputs_begin_without_neighbours():
    torch.manual_seed(0)
    model = speedrun.GPT(SMALL, 11).eval()
    tokens = torch.randint(11, (1, 16))
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 11
    same = torch.isclose(model(tokens), model(changed)).all(dim=-1)[0]  # (T)
    assert same.tolist() == [t != 5 for t in range(16)]


def test_short_convolutions_are_the_formula_and_have_its_gradients():
    convolution = speedrun.ShortConvolution(3).double()
    for share in convolution.kernel:
        torch.nn.init.normal_(share)
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    expected = [x[:, t] + sum(a * x[:, t - i] for i, a in enumerate(convolution.kernel, 1) if t >= i) for t in range(6)]
    torch.testing.assert_close(convolution(x), torch.stack(expected, dim=1))
    assert torch.autograd.gradcheck(speedrun.ShortConvolutionFunction.apply, (x, *convolution.kernel))
    assert convolution(x[:, :2]).shape == (2, 2, 3)  # a text shorter than what it looks back
    plain = ShortConvolution(3).double()  # as task 9 with convolutions writes it
    plain.load_state_dict({name.replace("kernel", "shares"): each for name, each in convolution.state_dict().items()})
    torch.testing.assert_close(plain(x), convolution(x))


def test_a_pass_takes_each_position_once_and_a_resumed_run_goes_on_in_it(proverbs):
    def corpus():
        torch.manual_seed(3)
        return speedrun.read(proverbs, SMALL)

    whole = corpus()
    text = whole.splits["train"] = torch.arange(len(whole.splits["train"]))  # so that a token is its position
    windows = [whole.next_batch(5) for _ in range(30)]
    one_pass = len(text) // 16  # windows
    inputs, targets = (torch.cat(parts) for parts in zip(*windows, strict=True))
    assert torch.equal(targets, inputs + 1)
    for first in (0, one_pass - 1):  # passes of one window less, where the offset leaves no room
        seen = inputs[first : first + one_pass - 1].flatten()
        assert len(seen.unique()) >= len(seen) - 32
    assert not torch.equal(inputs[:20].sort(dim=0).values, inputs[:20])
    later = corpus()
    later.splits["train"] = text
    later.skip(50)
    later.batch("train", 7)  # an evaluation takes nothing of a pass
    assert torch.equal(later.next_batch(5)[0], windows[10][0])


@pytest.mark.slow
def test_the_kept_weights_reach_the_loss_of_their_log():
    pytest.importorskip("safetensors", reason="needs safetensors")
    model, config, vocabulary, _ = setup.load_any(ROOT / "record" / "hour_seed42.safetensors")
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    assert vocabulary == corpus.vocabulary
    log = (ROOT / "record" / "logs" / "speedrun_hour_seed42.txt").read_text(encoding="utf-8")
    said = float(re.search(r"^Final val loss: ([\d.]+)", log, re.M)[1])
    with low_precision(torch.device("cpu")):
        assert score_split(model, corpus, "val").nats == pytest.approx(said, abs=1e-3)


# Mixtures of models.


def test_a_mixture_is_of_probabilities_and_sums_to_1():
    torch.manual_seed(0)
    one, two = (speedrun.GPT(SMALL, 11).eval() for _ in range(2))
    for parameter in [*one.parameters(), *two.parameters()]:
        torch.nn.init.normal_(parameter, std=0.3)
    counted = Counts(torch.randint(11, (500,)), 11, n=3)
    tokens = torch.randint(11, (4, 16))
    expected = 0.4 * F.softmax(one(tokens), dim=-1) + 0.4 * F.softmax(two(tokens), dim=-1) + 0.2 * counted(tokens).exp()
    got = mixture.together([one, two], counted, 0.2)(tokens).exp()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(got.sum(dim=-1), torch.ones(4, 16))
    torch.testing.assert_close(mixture.together([one], counted, 0.0)(tokens), F.log_softmax(one(tokens), dim=-1))
    with pytest.raises(ValueError, match="sum to 1"):
        mixture.Mixture([one, two], [0.5, 0.6])


def test_no_part_of_a_mixture_depends_on_the_validation_text(printed, tiny, tmp_path):
    texts = {"one": "question? " * 13, "two": "the queen " * 13}  # the last tenth, of the same symbols
    parts = []
    for name, rest in texts.items():
        text = tmp_path / f"{name}.txt"
        text.write_text("?" + TEXT + rest[:119])
        printed(speedrun, "--data", text, "--save", tmp_path / f"{name}.pt")
        corpus = speedrun.read(text, SMALL)
        assert corpus.decode(corpus.splits["train"]) == ("?" + TEXT)[: len(corpus.splits["train"])]
        model, *_ = setup.load_any(tmp_path / f"{name}.pt")
        parts.append((model.state_dict(), Counts(corpus.splits["train"], 19).tables))
    torch.testing.assert_close(*parts, atol=0, rtol=0)


def test_a_mixture_says_what_each_part_reaches(printed, tiny, proverbs, tmp_path, monkeypatch):
    monkeypatch.setattr(mixture, "DEFAULT_TEXT", proverbs)
    monkeypatch.setattr(mixture, "BATCHES", (2, 2))
    files = [tmp_path / f"{seed}.pt" for seed in (1, 2)]
    for seed, file in enumerate(files, 1):
        printed(speedrun, "--data", proverbs, "--seed", seed, "--save", file)
    out = printed(mixture, *files)
    rows = dict(re.findall(rf"^\| (.*?) \| ({LOSS}) \| {LOSS} \|$", out, re.M))
    assert list(rows) == ["1.pt", "2.pt", "the counts", "the 2 GPTs", "with the counts, share 0.2"]
    one, two, _, both, _ = map(float, rows.values())
    assert both <= (one + two) / 2
    with pytest.raises(UserError, match=r"1\.pt: trained on another text"):
        printed(mixture, "--tune", *files)


def test_squared_relu_is_the_square_of_relu():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(speedrun.SquaredReLU(), x)
    assert torch.equal(speedrun.SquaredReLU()(x), F.relu(x).square())


def test_every_idea_is_a_field_that_an_ablation_leaves_out():
    fields = {field.name for field in dataclasses.fields(speedrun.Config)}
    for changes in [*speedrun.IDEAS.values(), *ablation.VARIANTS.values()]:
        assert changes.keys() <= fields
    for name, without in (("laptop", ["squared_relu"]), ("hour", [])):
        preset = setup.preset(speedrun, name)
        left = [
            idea
            for idea, change in speedrun.IDEAS.items()
            for field, off in change.items()
            if getattr(preset, field) == off
        ]
        assert left == without


def test_a_tuning_run_changes_fields_by_name_and_type():
    preset = setup.preset(task07)
    got = tuning.changed(preset, ["dropout=0", "n_layer=3", "whole_split=False", "optimizer=adamw"])
    expected = {"dropout": 0.0, "n_layer": 3, "whole_split": False, "optimizer": "adamw"}
    assert got == dataclasses.replace(preset, **expected)
    for wrong in ("layers=3", "n_layer=3.5", "n_layer=", "n_layer", "whole_split=1", "dropout=__import__('os')"):
        with pytest.raises(UserError, match=wrong.partition("=")[0]):
            tuning.changed(preset, [wrong])


def test_a_larger_budget_goes_on_where_a_smaller_one_branched_off():
    torch.manual_seed(0)
    corpus = Tokens({"train": torch.randint(11, (400,)), "val": torch.randint(11, (50,))}, block_size=16)
    corpus.vocabulary = "abcdefghijk"
    changes = {"block_size": 16, "n_embd": 24, "n_head": 3, "n_layer": 1, "warmup": 0.0}
    step = 16 * 16 / 1e6  # millions of characters
    both = list(growth.grow("small", changes, corpus, [5 * step, 10 * step], seed=1))
    (alone,) = growth.grow("small", changes, corpus, [5 * step], seed=1)
    assert [row[1] for row in both] == [5 * step, 10 * step] and both[0][2] < both[1][2]
    assert both[0][3:] == alone[3:] and both[1][3] != both[0][3]


@pytest.fixture
def tiny(monkeypatch):
    """The laptop preset, made small enough to run in a moment."""
    preset = dataclasses.asdict(dataclasses.replace(SMALL, batch_size=2, max_steps=5, eval_batches=2, first_window=4))
    monkeypatch.setattr(speedrun, "PRESETS", {"laptop": preset, "hour": preset})
    return preset


def test_the_speedrun_prints_what_it_reaches(printed, tiny, proverbs):
    out = printed(speedrun, "--data", proverbs)
    assert re.match(rf"Final val loss: {LOSS} on the whole split \(.* bits, .*\)\n$", out)
    out = printed(speedrun, "--data", proverbs, "--without", "passes", "short_windows", "--tune")
    assert out.startswith("Final val loss: ")


@pytest.mark.slow
def test_the_recipe_is_compared_in_equal_time(printed, tiny):
    out = printed(recipe, "--steps", 60, "--seeds", 1)
    assert re.match(rf"seed 1: the recipe {LOSS} \({LOSS}\) in .* s; the speedrun {LOSS} in", out)
    theirs, ours = map(float, re.findall(r" in ([\d.]+) s", out))
    assert ours == pytest.approx(theirs, abs=0.5)  # a step of the speedrun more
    assert "\nmean: the recipe " in out


def test_counting_is_reported_for_each_length(printed):
    out = printed(counts, "--longest", 1, "--tune")
    losses = [float(loss) for loss in re.findall(rf"^\d characters before: val ({LOSS}),", out, re.M)]
    assert losses[0] > 3 > losses[1] > 2


@pytest.mark.slow
def test_an_ablation_judges_every_variant(printed, tiny, monkeypatch):
    monkeypatch.setattr(ablation, "VARIANTS", {"all ideas": {}, "without qk_norm": {"qk_norm": False}})
    out = printed(ablation, "--quick", "--threads", 1)
    rows = re.findall(rf"^(\S.*?)  +{LOSS}  +\S+  +\d+ steps$", out, re.M)
    assert rows == ["all ideas", "without qk_norm"]
