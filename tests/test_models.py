"""Each model against its formulas: shapes, causality, scale, skips, norms, parameters, generation."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from common.evaluate import estimate_loss
from tests import reference
from tests.lessons import CORE, load

V = 11
N_PARAMETERS = {  # 65 symbols, by hand: embeddings 65·32 + 8·32, output 32·65 + 65, then the lesson's own
    "task01": 4481 + 3 * 32 * 32,
    "task02": 4481 + 3 * 32 * 32,
    "task03": 4481 + 3 * 32 * 32 + 32 * 33,
    "task04": 4481 + 3 * (3 * 32 * 32 + 32 * 33),
    "task05": 4481 + 3 * (3 * 32 * 32 + 32 * 33 + 32 * 128 + 128 + 128 * 32 + 32),
    "task06": 4481 + 3 * (3 * 32 * 32 + 32 * 33 + 32 * 128 + 128 + 128 * 32 + 32 + 4 * 32) + 2 * 32,
}


def build(name, **changes):
    """A model with lively weights, at sizes that all differ: B 2, T 5, C 12, H 3, D 4, V 11."""
    sizes = {"n_embd": 12, "block_size": 5, "head_size": 7, "n_head": 3, "n_layer": 2} | changes
    task = load(name)
    fields = {field.name for field in dataclasses.fields(task.Config)}
    torch.manual_seed(0)
    model = task.GPT(task.Config(**{field: size for field, size in sizes.items() if field in fields}), V)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture(params=CORE)
def name(request):
    return request.param


@pytest.mark.parametrize("T", [1, 3, 5])
def test_logits_have_a_row_a_position(name, T):
    assert build(name)(torch.randint(V, (2, T))).shape == (2, T, V)


def test_no_position_sees_a_later_token(name):
    model = build(name)
    tokens = torch.randint(V, (2, 5))
    before = model(tokens)
    for t in range(1, 5):
        changed = tokens.clone()
        changed[:, t:] = (changed[:, t:] + 1) % V
        torch.testing.assert_close(model(changed)[:, :t], before[:, :t], rtol=0, atol=0)


def test_every_position_sees_all_earlier_tokens(name):
    model = build(name)
    tokens = torch.randint(V, (2, 5))
    before = model(tokens)
    for t in range(5):
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % V
        differs = (model(changed) != before).any(dim=-1)
        assert differs[:, t:].all()


def test_the_order_of_tokens_matters(name):
    model = build(name)
    tokens = torch.tensor([[1, 2, 3, 4, 5]])
    swapped = torch.tensor([[2, 1, 3, 4, 5]])
    assert not torch.allclose(model(tokens)[:, -1], model(swapped)[:, -1])


def test_the_model_computes_the_formulas_of_its_papers(name):
    model = build(name)
    tokens = torch.randint(V, (2, 5))
    n_head = 1 if name == "task01" else 3
    expected = reference.logits(int(name[4:6]), model.double().state_dict(), tokens, n_head)
    torch.testing.assert_close(model(tokens), expected)


def test_the_paper_scale_is_one_switch_away():
    task = load("task02")
    documented, paper = (task.SelfAttention(task.Config(paper_scale=switch)) for switch in (False, True))
    assert documented.scale == pytest.approx(32**-0.5)
    assert paper.scale == pytest.approx(8**-0.5)


def test_the_parameters_are_those_counted_by_hand(name, corpus):
    task = load(name)
    model = task.GPT(task.Config(), len(corpus.vocabulary))
    assert sum(parameter.numel() for parameter in model.parameters()) == N_PARAMETERS[name]


def test_every_parameter_gets_a_gradient(name):
    model = build(name)
    model(torch.randint(V, (2, 5))).logsumexp(dim=-1).sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


def test_generation_appends_and_crops_to_the_block(name):
    model = build(name)
    start = torch.zeros(2, 1, dtype=torch.long)
    tokens = model.generate(start, max_new_tokens=12)  # well past the block of 5
    assert tokens.shape == (2, 13)
    assert torch.equal(tokens[:, :1], start)
    assert not tokens.requires_grad


def test_generation_follows_the_last_logits(name):
    model = build(name)
    tokens = model.generate(torch.zeros(1, 1, dtype=torch.long), max_new_tokens=9, temperature=1e-4)
    for t in range(1, 10):
        assert tokens[0, t] == model(tokens[:, max(0, t - 5) : t])[0, -1].argmax()


def test_generation_draws_tokens_as_often_as_the_softmax_says(name):
    model = build(name)
    start = torch.full((4000, 1), 3)
    expected = F.softmax(model(start[:1])[0, -1] / 2, dim=-1)
    drawn = model.generate(start, max_new_tokens=1, temperature=2.0)[:, 1].bincount(minlength=V) / 4000
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0.04)  # five standard deviations


class Watcher(nn.Module):
    """Stands for a model; remembers the mode in which it was called."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def forward(self, tokens):
        self.seen.add(self.training)
        return torch.zeros(*tokens.shape, 65)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_runs_in_evaluation_mode_and_restores_the_mode(corpus, training):
    model = Watcher().train(training)
    loss = estimate_loss(model, corpus, "val", batches=2, batch_size=3)
    assert model.seen == {False}
    assert model.training is training
    assert loss == pytest.approx(torch.tensor(65.0).log().item())


def test_generation_runs_in_evaluation_mode_and_restores_the_mode(name):
    for training in (True, False):
        model = build(name).train(training)
        seen = []
        model.register_forward_pre_hook(lambda module, _, seen=seen: seen.append(module.training))
        model.generate(torch.zeros(1, 1, dtype=torch.long), max_new_tokens=3)
        assert seen == [False] * 3
        assert model.training is training


def test_evaluation_is_the_mean_over_separate_batches(name, corpus):
    task = load(name)
    torch.manual_seed(0)
    model = task.GPT(task.Config(), 65)
    torch.manual_seed(1)
    together = estimate_loss(model, corpus, "val", batches=6, batch_size=32)
    torch.manual_seed(1)
    losses = []
    for _ in range(6):
        tokens, targets = corpus.batch("val", 32)
        losses.append(F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item())
    assert together == pytest.approx(sum(losses) / 6, abs=1e-6)
