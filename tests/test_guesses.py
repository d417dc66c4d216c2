"""Guesses change no character of what a model writes."""

import itertools

import task07
import task09_rope
from common.checkpoint import save_run
from common.data import Corpus
from common.options import DEFAULT_TEXT
from record import speedrun
from studies import setup
from studies.generation import speculative
from tests.lessons import lively

import pytest
import torch


@pytest.fixture(params=[task07, task09_rope], ids=lambda module: module.__name__)
def model(request):
    sizes = setup.preset(request.param, block_size=16, n_embd=24, n_head=3, n_layer=2)
    return lively(request.param.GPT(sizes, 65))


def sure_of(token):
    return torch.nn.functional.one_hot(torch.tensor(token), 65) * 20.0


def wrong(text):
    return sure_of((7 * text[-1] + 1) % 65)


def take(n, tokens):
    return torch.cat(list(itertools.islice(tokens, n)))


@pytest.mark.parametrize("how", [1.0, 0.0, 1.5])
@pytest.mark.parametrize("guess", [lambda _: None, wrong, lambda text: wrong(text) if text[-1] % 3 else None, "right"])
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


@pytest.fixture
def passes(monkeypatch):
    """How many tokens each pass of the model reads."""
    passes, extend = [], speculative.Cache.extend
    monkeypatch.setattr(speculative.Cache, "extend", lambda *given: passes.append(len(given[1])) or extend(*given))
    return passes


def test_right_guesses_share_a_pass(model, passes):
    expected = take(16, speculative.generate(model, torch.tensor([3]), 0.0))
    text = [3, *expected.tolist()]
    passes.clear()
    known = speculative.generate(model, torch.tensor([3]), 0.0, guess=lambda before: sure_of(text[len(before)]))
    assert torch.equal(take(16, known), expected)
    assert passes == [1 + speculative.GUESSES] * 2


def test_a_guess_is_drawn_with_the_noise_of_its_token(model, passes):
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
