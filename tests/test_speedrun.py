"""The speedrun's model: its quick forms compute what the plain ones do, and no idea lets the future be seen."""

import dataclasses
import re
import sys

import pytest
import torch
from torch.nn import functional as F

import task07
import task09_rope
from common import training
from common.counts import Counts
from common.data import Corpus, Tokens
from common.exits import UserError
from common.options import DEFAULT_TEXT
from studies import ablation, counts, evaluate, growth, recipe, speedrun, step, timed, tuning

SMALL = dataclasses.replace(speedrun.PRESETS["laptop"], block_size=16, n_embd=24, n_head=3, n_layer=2)
PLAIN = dataclasses.replace(SMALL, qk_norm=False, squared_relu=False, zero_outputs=False)


def test_without_its_ideas_it_is_task_9s_model():
    torch.manual_seed(0)
    ours = speedrun.GPT(PLAIN, 11)
    config = dataclasses.replace(
        task09_rope.PRESETS["laptop"], block_size=16, n_embd=24, n_head=3, n_layer=2, dropout=0.0
    )
    theirs = task09_rope.GPT(config, 11)
    weights = {name: torch.zeros_like(value) for name, value in theirs.state_dict().items()}  # biases: none
    theirs.load_state_dict(weights | ours.state_dict())
    tokens = torch.randint(11, (2, 16))
    torch.testing.assert_close(ours(tokens), theirs(tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("idea", [None, *speedrun.IDEAS])
def test_no_position_sees_the_future_with_an_idea_or_without(idea):
    config = dataclasses.replace(SMALL, **speedrun.IDEAS.get(idea, {}))
    torch.manual_seed(0)
    model = speedrun.GPT(config, 11).eval()
    if config.counts:
        model = speedrun.Average(model, Counts(torch.randint(11, (500,)), 11), config.counts)
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


def test_an_average_is_of_probabilities():
    torch.manual_seed(0)
    model, other = speedrun.GPT(SMALL, 11).eval(), Counts(torch.randint(11, (500,)), 11, n=2)
    tokens = torch.randint(11, (2, 16))
    expected = 0.75 * F.softmax(model(tokens), dim=-1) + 0.25 * other(tokens).exp()
    torch.testing.assert_close(speedrun.Average(model, other, 0.25)(tokens).exp(), expected)


def test_squared_relu_is_the_square_of_relu():
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(speedrun.SquaredReLU(), x)
    assert torch.equal(speedrun.SquaredReLU()(x), F.relu(x).square())


def test_every_idea_is_a_field_that_an_ablation_leaves_out():
    fields = {field.name for field in dataclasses.fields(speedrun.Config)}
    for changes in [*speedrun.IDEAS.values(), *ablation.VARIANTS.values()]:
        assert changes.keys() <= fields
    for preset in speedrun.PRESETS.values():
        assert not any(getattr(preset, name) == off for idea in speedrun.IDEAS.values() for name, off in idea.items())


def test_a_profile_finds_the_matrix_products():
    numbers = torch.ones(300, 300)
    spent = step.measure(lambda: (numbers @ numbers).relu())
    assert spent["aten::mm"] > 0 and spent.keys() & step.PRODUCTS == {"aten::mm"}


def test_a_tuning_run_changes_fields_by_name_and_type():
    preset = task07.PRESETS["laptop"]
    got = tuning.changed(preset, ["dropout=0", "n_layer=3", "tie_weights=True", "optimizer=adamw"])
    expected = {"dropout": 0.0, "n_layer": 3, "tie_weights": True, "optimizer": "adamw"}
    assert got == dataclasses.replace(preset, **expected)
    for wrong in ("layers=3", "n_layer=3.5", "n_layer=", "n_layer", "tie_weights=1", "dropout=__import__('os')"):
        with pytest.raises(UserError, match=wrong.partition("=")[0]):
            tuning.changed(preset, [wrong])


def test_a_larger_budget_goes_on_where_a_smaller_one_branched_off():
    torch.manual_seed(0)
    corpus = Tokens({"train": torch.randint(11, (400,)), "val": torch.randint(11, (50,))}, block_size=16)
    corpus.vocabulary = "abcdefghijk"
    changes = {"block_size": 16, "n_embd": 24, "n_head": 3, "n_layer": 1, "warmup": 1}
    epoch = 16 * 16 / 1e6  # millions of characters
    both = list(growth.grow("small", changes, corpus, [5 * epoch, 10 * epoch], seed=1))
    (alone,) = growth.grow("small", changes, corpus, [5 * epoch], seed=1)
    assert [row[1] for row in both] == [5 * epoch, 10 * epoch] and both[0][2] < both[1][2]
    assert both[0][3:] == alone[3:] and both[1][3] != both[0][3]


@pytest.fixture
def tiny(monkeypatch):
    """The laptop preset, made small enough to run in a moment."""
    preset = dataclasses.replace(SMALL, batch_size=2, epochs=5, eval_batches=2, first_window=4)
    monkeypatch.setattr(speedrun, "PRESETS", {"laptop": preset, "best": preset})
    return preset


def run(monkeypatch, capsys, module, *flags):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, flags)])
    module.main()
    return capsys.readouterr().out


LOSS = r"\d\.\d{4}"


@pytest.fixture
def proverb(tmp_path):
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question:\n" * 25)
    return tmp_path / "text.txt"


def test_the_speedrun_prints_its_log_and_what_each_part_reaches_alone(tiny, proverb, monkeypatch, capsys):
    out = run(monkeypatch, capsys, speedrun, "--data", proverb)
    epochs, last, alone = out.splitlines()[:-2], *out.splitlines()[-2:]
    assert [line.partition(":")[0] for line in epochs] == ["Epoch 0", "Epoch 4"]
    assert re.match(rf"Final val loss: {LOSS} on the whole split .* \| {LOSS} over random batches$", last)
    parts = re.fullmatch(rf"Each alone: the GPT ({LOSS}), the counts ({LOSS}) on the whole split", alone)
    assert float(parts[2]) < float(parts[1])  # a proverb that comes again is easy to count, and hard in five epochs
    out = run(monkeypatch, capsys, speedrun, "--data", proverb, "--without", "counts", "short_windows", "--tune")
    assert "alone" not in out


def test_weights_are_evaluated_alone_and_averaged(tiny, tmp_path, monkeypatch, capsys):
    corpus = Corpus(DEFAULT_TEXT, tiny.block_size)
    torch.manual_seed(0)
    training.save(tmp_path / "w.pt", speedrun.GPT(tiny, 65), [], corpus, tiny, 0)
    monkeypatch.setattr(evaluate, "DOCUMENTED", (2, 3))
    rows = run(monkeypatch, capsys, evaluate, tmp_path / "w.pt").splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [cell[0] for cell in cells] == 3 * ["the GPT alone"] + 3 * ["averaged with the counts (share 0.5)"]
    alone, averaged = float(cells[1][2]), float(cells[4][2])
    assert averaged < 3 < alone  # untrained: about ln 65
    without = dataclasses.replace(tiny, counts=0.0)
    training.save(tmp_path / "w.pt", speedrun.GPT(without, 65), [], corpus, without, 0)
    assert "averaged" not in run(monkeypatch, capsys, evaluate, tmp_path / "w.pt")
    corpus.vocabulary = corpus.vocabulary[::-1]
    training.save(tmp_path / "w.pt", speedrun.GPT(tiny, 65), [], corpus, tiny, 0)
    with pytest.raises(UserError, match="learnt from another text"):
        run(monkeypatch, capsys, evaluate, tmp_path / "w.pt")


@pytest.mark.slow
def test_the_recipe_is_compared_in_equal_time(tiny, monkeypatch, capsys):
    out = run(monkeypatch, capsys, recipe, "--steps", 60, "--seeds", 1)
    assert re.match(
        rf"seed 1: the recipe {LOSS} \({LOSS}\) in .* s; the speedrun {LOSS}, its GPT alone {LOSS}, in", out
    )
    theirs, ours = map(float, re.findall(r" in ([\d.]+) s", out))
    assert ours == pytest.approx(theirs, abs=0.5)  # an epoch of the speedrun more
    assert "\nmean: the recipe " in out


def test_counting_is_reported_for_each_length(monkeypatch, capsys):
    out = run(monkeypatch, capsys, counts, "--longest", 1, "--tune")
    losses = [float(loss) for loss in re.findall(rf"^\d characters before: val ({LOSS}),", out, re.M)]
    assert losses[0] > 3 > losses[1] > 2


def test_an_ablation_judges_every_variant_twice(tiny, monkeypatch, capsys):
    monkeypatch.setattr(ablation, "VARIANTS", {"all ideas": {}, "without qk_norm": {"qk_norm": False}})
    out = run(monkeypatch, capsys, ablation, "--quick", "--threads", 1)
    rows = re.findall(rf"^(\S.*?)  +({LOSS})  +\S+  +({LOSS})  +\S+  +\d+ epochs$", out, re.M)
    assert [name for name, *_ in rows] == ["all ideas", "without qk_norm"]
    assert all(float(averaged) < float(alone) for _, averaged, alone in rows)


def test_an_ablation_s_report_is_a_log_without_a_picture(tiny, monkeypatch, capsys, tmp_path):
    (tmp_path / "logs").mkdir()
    monkeypatch.setattr(timed, "DOCS", tmp_path)
    monkeypatch.setattr(ablation, "VARIANTS", {"all ideas": {}})
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = run(monkeypatch, capsys, ablation, "--seconds", 1, "--seeds", 1, "--threads", 1, "--report")
    log = (tmp_path / "logs" / "ablation.txt").read_text(encoding="utf-8")
    assert log == "$ python -m studies.ablation --seconds 1 --seeds 1 --threads 1 --report\n" + out
