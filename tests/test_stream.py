"""Task 8: the cache writes what the model would without one, for ever, and its flags do what they say."""

import dataclasses
import itertools
import os
import re
import signal
import subprocess
import sys

import pytest
import torch

import task07
import task08_infinite as task08
import task09_rope
from common import checkpoint, stream, training
from common.data import Corpus
from common.exits import UserError
from common.options import DEFAULT_TEXT
from studies import speedrun
from tests.lessons import ROOT

SMALL = dataclasses.replace(task07.PRESETS["laptop"], block_size=16, n_embd=24, n_head=3, n_layer=2, dropout=0.3)


SIZES = {name: getattr(SMALL, name) for name in ("block_size", "n_embd", "n_head", "n_layer", "dropout")}


@pytest.fixture(params=[task07, task09_rope, speedrun], ids=lambda module: module.__name__)
def model(request):
    torch.manual_seed(0)
    model = request.param.GPT(dataclasses.replace(request.param.PRESETS["laptop"], **SIZES), 65)
    for parameter in model.parameters():  # far from equal probabilities, so that a wrong context shows
        torch.nn.init.normal_(parameter, std=0.5 if parameter.ndim == 2 else 1.0)
    return model.eval()


def take(n, tokens):
    return torch.cat(list(itertools.islice(tokens, n)))


@torch.no_grad()
@pytest.mark.parametrize("parts", [[16], [1] * 16, [5, 1, 1, 9]], ids=str)
def test_a_cache_predicts_what_the_model_does(model, parts):
    tokens = torch.randint(65, (16,))
    cache, done = task08.Cache(model), 0
    for part in parts:
        logits = cache.extend(tokens[done : done + part])
        done += part
        torch.testing.assert_close(logits[-1], model(tokens[None, :done])[0, -1])


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_up_to_the_block_size_the_text_is_that_of_the_model(model, temperature):
    prompt = torch.tensor([3, 1, 4])
    for seed in range(5):
        torch.manual_seed(seed)
        expected = model.generate(prompt[None], SMALL.block_size - 2, temperature)[0, 3:]
        torch.manual_seed(seed)
        assert torch.equal(take(SMALL.block_size - 2, task08.generate(model, prompt, temperature)), expected)


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 15, 16, 17, 40])
def test_a_full_cache_begins_again_with_the_last_half_block(model, monkeypatch, length):
    prompt = torch.randint(65, (length,), generator=torch.Generator().manual_seed(1))
    text, used, seen = prompt.tolist(), min(length, 16), []
    choose = task08.choose
    monkeypatch.setattr(task08, "choose", lambda logits, *how: seen.append(logits) or choose(logits, *how))
    for token in itertools.islice(task08.generate(model, prompt, temperature=2.0), 50):
        torch.testing.assert_close(seen[-1], model(torch.tensor([text[-used:]]))[0, -1])
        text.append(token.item())
        used = used + 1 if used < 16 else 8


def never(text):
    return None


def sure_of(token):
    return torch.nn.functional.one_hot(torch.tensor(token), 65) * 20.0


def wrong(text):
    return sure_of((7 * text[-1] + 1) % 65)


def sometimes(text):
    return wrong(text) if text[-1] % 3 else None


@pytest.mark.parametrize("how", [(1.0, 0, 1.0), (0.0, 0, 1.0), (1.5, 5, 0.9)], ids=str)
@pytest.mark.parametrize("guess", [never, wrong, sometimes, "right"])
def test_guesses_change_no_character(model, guess, how):
    prompt = torch.tensor([3, 1, 4])
    torch.manual_seed(0)
    expected = take(50, task08.generate(model, prompt, *how))
    if guess == "right":
        text = [*prompt.tolist(), *expected.tolist()]

        def guess(before):  # the text itself, whatever the window has kept of it
            end = next(i for i in range(len(text), 0, -1) if text[max(0, i - len(before)) : i] == before[-i:])
            return sure_of(text[end]) if end < len(text) else None

    torch.manual_seed(0)
    assert torch.equal(take(50, task08.generate(model, prompt, *how, guess=guess)), expected)


def test_right_guesses_share_a_pass(model, monkeypatch):
    passes = []
    extend = task08.Cache.extend
    monkeypatch.setattr(task08.Cache, "extend", lambda *given: passes.append(len(given[1])) or extend(*given))
    expected = take(16, task08.generate(model, torch.tensor([3]), 0.0))
    text = [3, *expected.tolist()]
    passes.clear()
    known = task08.generate(model, torch.tensor([3]), 0.0, guess=lambda before: sure_of(text[len(before)]))
    assert torch.equal(take(16, known), expected)
    assert passes == [1 + task08.GUESSES] * 2


def test_a_guess_is_drawn_with_the_noise_of_its_token(model, monkeypatch):
    passes = []
    extend = task08.Cache.extend
    monkeypatch.setattr(task08.Cache, "extend", lambda *given: passes.append(len(given[1])) or extend(*given))
    knowing = task08.generate(model, torch.tensor([3]), guess=lambda text: model(torch.tensor([text]))[0, -1])
    take(15, knowing)
    assert passes == [1 + task08.GUESSES] * 2  # the model's own opinion is never rejected


@torch.no_grad()
def test_a_pass_gives_the_logits_after_its_last_tokens(model):
    tokens = torch.randint(65, (9,))
    torch.testing.assert_close(task08.Cache(model).extend(tokens, 4), model(tokens[None])[0, -4:])


def test_the_committed_text_gives_guesses_and_another_vocabulary_none():
    corpus = Corpus(DEFAULT_TEXT, 1)
    guess = stream.load_guesses(corpus.vocabulary)
    after = guess(corpus.encode("And now, good RO").tolist() + corpus.encode("MEO").tolist())
    assert corpus.vocabulary[after.argmax()] == ":" and after.exp().sum() == pytest.approx(1, abs=1e-4)
    assert guess(corpus.encode("$$$$").tolist()) is None
    assert stream.load_guesses("ab") is None


def test_greedy_ignores_the_seed_and_top_k_1_is_greedy():
    logits = torch.tensor([0.1, 2.0, -1.0, 1.9])
    for _ in range(20):
        assert task08.choose(logits, 0, 0, 1.0).tolist() == [1]
        assert task08.choose(logits, 5.0, 1, 1.0).tolist() == [1]


@pytest.mark.parametrize(
    ("top_k", "top_p", "expected"),
    [(0, 1.0, [0.4, 0.3, 0.2, 0.1]), (2, 1.0, [4 / 7, 3 / 7, 0, 0]), (0, 0.5, [4 / 7, 3 / 7, 0, 0]),
     (0, 0.39, [1, 0, 0, 0]), (0, 0.0, [1, 0, 0, 0]), (3, 0.8, [4 / 9, 3 / 9, 2 / 9, 0]),
     (99, 0.95, [0.4, 0.3, 0.2, 0.1])],
)  # fmt: skip
def test_what_top_k_and_top_p_leave_keeps_its_proportions(top_k, top_p, expected):
    torch.manual_seed(0)
    shares = torch.tensor([0.1, 0.4, 0.2, 0.3])  # in an order that a ranking changes
    drawn = torch.cat([task08.choose(shares.log(), 1.0, top_k, top_p) for _ in range(4000)])
    counts = torch.bincount(drawn, minlength=4)[[1, 3, 2, 0]] / 4000
    assert (counts > 0).tolist() == [share > 0 for share in expected]
    assert counts.tolist() == pytest.approx(expected, abs=0.03)


def test_a_low_temperature_sharpens():
    torch.manual_seed(0)
    logits = torch.tensor([0.0, 1.0])
    for t in (0.5, 1, 2):
        share = torch.cat([task08.choose(logits, t, 0, 1.0) for _ in range(2000)]).float().mean().item()
        assert share == pytest.approx(1 / (1 + torch.e ** (-1 / t)), abs=0.03)


@pytest.mark.slow
def test_memory_stays_the_same(model):
    resource = pytest.importorskip("resource")
    tokens = task08.generate(model, torch.tensor([0]), 1.0, top_k=10, top_p=0.9)
    take(500, tokens)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(6):
        take(500, tokens)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2000  # kB; 2 kB a token would be 6,000


# The script, with weights that are quick to make.


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.pt"
    torch.manual_seed(0)
    corpus = Corpus(DEFAULT_TEXT, SMALL.block_size)
    training.save(path, task09_rope.GPT(SMALL, 65), [], corpus, SMALL, 0)
    return path


def script(*flags, **how):
    command = [sys.executable, "task08_infinite.py", *map(str, flags)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, **how)


def run_main(monkeypatch, capsys, *flags):
    monkeypatch.setattr(sys, "argv", ["task08_infinite.py", *map(str, flags)])
    task08.main()
    return capsys.readouterr()


def test_a_seed_writes_the_same_text_again(monkeypatch, capsys, weights):
    texts = [run_main(monkeypatch, capsys, "--weights", weights, "--tokens", 50, "--seed", n) for n in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0].err == ""
    assert len(texts[0].out) == 51 and texts[0].out[-1] == "\n"


def test_the_prompt_comes_first(monkeypatch, capsys, weights):
    out = run_main(monkeypatch, capsys, "--weights", weights, "--tokens", 20, "--prompt", "ROMEO:").out
    assert out.startswith("ROMEO:") and len(out) == len("ROMEO:") + 20 + 1
    assert run_main(monkeypatch, capsys, "--weights", weights, "--tokens", 0, "--prompt", "O").out == "O\n"


def test_speed_waits(monkeypatch, capsys, weights):
    waited = []
    monkeypatch.setattr(stream.time, "sleep", waited.append)
    run_main(monkeypatch, capsys, "--weights", weights, "--tokens", 4, "--speed", 0.1)
    assert waited == pytest.approx([0, 10, 20, 30], abs=3)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt", "naïve"], "argument --prompt: the model knows no 'ï'; it knows"),
        (["--temperature", "-1"], "argument --temperature: expected a number from 0 to 100, got '-1'"),
        (["--temperature", "nan"], "argument --temperature: expected a number from 0 to 100, got 'nan'"),
        (["--top-p", "1.5"], "argument --top-p: expected a number from 0 to 1, got '1.5'"),
        (["--top-k", "-3"], "argument --top-k: expected a whole number from 0 to"),
        (["--speed", "0"], "argument --speed: expected a number from 0.1 to"),
        (["--weights", "none.pt"], "none.pt: no such file; python task09_rope.py --save none.pt makes one"),
        (["--weights", "README.md"], "README.md: not a checkpoint"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_input_is_refused(monkeypatch, weights, flags, message):
    monkeypatch.setattr(sys, "argv", ["task08_infinite.py", "--weights", str(weights), "--tokens", "1", *flags])
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        task08.main()


def test_a_checkpoint_without_a_model_is_refused(tmp_path):
    checkpoint.save(tmp_path / "n.pt", {"n": 1})
    with pytest.raises(UserError, match=r"n\.pt: holds no model of task 7, task 9 or the speedrun"):
        stream.load_model(tmp_path / "n.pt")


@pytest.mark.parametrize("module", [task07, speedrun], ids=lambda module: module.__name__)
def test_weights_of_other_scripts_serve_too(tmp_path, module):
    corpus = Corpus(DEFAULT_TEXT, SMALL.block_size)
    config = dataclasses.replace(module.PRESETS["laptop"], **SIZES)
    saved = module.GPT(config, 65)
    training.save(tmp_path / "other.pt", saved, [], corpus, config, 0)
    model, vocabulary = stream.load_model(tmp_path / "other.pt")
    assert type(model) is module.GPT and not model.training and vocabulary == corpus.vocabulary
    assert torch.equal(model.output.weight, saved.output.weight)


@pytest.mark.slow
def test_errors_take_one_line_and_exit_code_2(weights):
    result = script("--weights", weights, "--temperature", "-1")
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals and pipes are POSIX")
def test_ctrl_c_ends_the_line_and_the_run(weights):
    command = [sys.executable, "task08_infinite.py", "--weights", str(weights), "--speed", "50"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert first and out.endswith(b"\n")
    assert (process.returncode, err) == (0, b"")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals and pipes are POSIX")
def test_a_reader_that_leaves_ends_the_run_quietly(weights):
    command = f"{sys.executable} task08_infinite.py --weights {weights} | head -c 1000; echo ${{PIPESTATUS[0]}} >&2"
    result = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, timeout=100)
    assert len(result.stdout) == 1000
    assert result.stderr == b"0\n"
