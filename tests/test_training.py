"""From task 7 on: the schedule, the optimizers' groups, checkpoints, and both ways to evaluate."""

import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace

import pytest
import torch

import task07
from common import checkpoint, training
from common.data import Corpus
from common.dropout import Dropout
from common.evaluate import score_split
from common.exits import UserError
from common.options import DEFAULT_TEXT
from tests.lessons import ROOT, parse_log

SMALL = dataclasses.replace(
    task07.PRESETS["laptop"], batch_size=4, block_size=16, n_embd=24, n_head=3, n_layer=2, dropout=0.1,
    epochs=9, eval_interval=3, eval_batches=2, whole_split=False,
)  # fmt: skip


@pytest.fixture(scope="module")
def blocks():
    return Corpus(DEFAULT_TEXT, block_size=16)


@pytest.fixture
def proverb(tmp_path):
    """A text that evaluates in no time."""
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question:\n" * 25)
    return Corpus(tmp_path / "text.txt", block_size=16)


def build(corpus, config=SMALL):
    torch.manual_seed(0)
    return task07.GPT(config, len(corpus.vocabulary))


def run(corpus, config=SMALL, save=None, resume=None):
    model = build(corpus, config)
    options = Namespace(device=torch.device("cpu"), save=save, save_every=2, resume=resume)
    training.train(model, corpus, config, options)
    return model


def test_the_schedule_rises_stays_and_falls_to_nearly_nothing():
    config = dataclasses.replace(SMALL, epochs=100, warmup=4, cooldown=9)
    rates = [training.get_lr(epoch, config) for epoch in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert set(rates[4:91]) == {1.0}
    assert rates[90:] == pytest.approx([1 - i / 10 for i in range(10)])
    constant = dataclasses.replace(SMALL, epochs=100, warmup=0, cooldown=0)
    assert {training.get_lr(epoch, constant) for epoch in range(100)} == {1.0}


def test_windows_grow_from_the_first_length_to_the_block_size():
    config = dataclasses.replace(SMALL, epochs=30, first_window=16)
    lengths = [training.get_window(epoch, config, 64) for epoch in range(30)]
    assert lengths == [16] * 10 + [32] * 10 + [64] * 10
    assert {training.get_window(epoch, SMALL, 64) for epoch in range(SMALL.epochs)} == {64}


def test_windows_that_never_reach_the_block_size_are_refused():
    for first in (48, 128):
        with pytest.raises(UserError, match=f"first_window: {first}"):
            training.get_window(0, dataclasses.replace(SMALL, first_window=first), 64)


def test_short_windows_are_the_same_batches_in_pieces(blocks):
    config = dataclasses.replace(SMALL, epochs=4, first_window=8)
    shapes = []

    class Model(torch.nn.Linear):
        def forward(self, tokens):
            shapes.append(tuple(tokens.shape))
            return super().forward(torch.nn.functional.one_hot(tokens, len(blocks.vocabulary)).float())

    model = Model(len(blocks.vocabulary), len(blocks.vocabulary))
    optimizers = training.configure_optimizers(model, dataclasses.replace(config, optimizer="adamw"))
    for epoch in range(4):
        training.update(model, blocks, config, optimizers, epoch, training.low_precision(torch.device("cpu")))
    characters = config.batch_size * blocks.block_size
    assert [B * T for B, T in shapes] == [characters] * 4
    assert [T for _, T in shapes] == [training.get_window(epoch, config, blocks.block_size) for epoch in range(4)]
    assert shapes[0][1] == 8 and shapes[-1][1] == blocks.block_size


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_parameter_has_one_optimizer_and_only_matrices_decay(blocks, optimizer):
    model = build(blocks)
    config = dataclasses.replace(SMALL, optimizer=optimizer)
    groups = [group for each in training.configure_optimizers(model, config) for group in each.param_groups]
    held = [parameter for group in groups for parameter in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, model.parameters()))
    for group in groups:
        assert {parameter.ndim >= 2 for parameter in group["params"]} == {group["weight_decay"] > 0}
    if optimizer == "muon":
        assert {id(p) for p in groups[-1]["params"]} == {id(p) for p in model.blocks.parameters() if p.ndim == 2}


def test_an_unknown_optimizer_is_refused(blocks):
    with pytest.raises(ValueError, match="expected adamw or muon, got 'sgd'"):
        training.configure_optimizers(build(blocks), dataclasses.replace(SMALL, optimizer="sgd"))


def test_initial_weights_have_the_spread_that_is_asked_for(blocks):
    config = dataclasses.replace(SMALL, n_embd=240)
    model = build(blocks, config)
    training.initialize(model, config)
    block = model.blocks[0]
    assert block.attention.heads.weight.std().item() == pytest.approx(0.02, rel=0.05)
    for last in (block.attention.projection, block.feed_forward.layers[2]):
        assert last.weight.std().item() == pytest.approx(0.02 / math.sqrt(2 * config.n_layer), rel=0.05)
        assert last.bias.abs().max() == 0
    assert torch.equal(block.attention_norm.weight, torch.ones(240))


def test_tied_weights_are_one_parameter(blocks):
    tied = build(blocks, dataclasses.replace(SMALL, tie_weights=True))
    assert tied.output.weight is tied.token_embedding.weight
    assert sum(p.numel() for p in build(blocks).parameters()) - sum(p.numel() for p in tied.parameters()) == 65 * 24


def test_dropout_is_on_in_training_only(blocks):
    model = build(blocks, dataclasses.replace(SMALL, dropout=0.5))
    tokens = blocks.batch("train", 2)[0]
    assert not torch.equal(model(tokens), model(tokens))
    model.eval()
    assert torch.equal(model(tokens), model(tokens))


def test_all_heads_in_one_product_compute_what_separate_heads_do(blocks):
    import task06

    sizes = {"n_embd": 24, "n_head": 3, "n_layer": 2, "block_size": 16, "paper_scale": True}
    torch.manual_seed(1)
    separate = task06.GPT(task06.Config(**sizes), 65)
    torch.manual_seed(1)
    together = task07.GPT(dataclasses.replace(SMALL, dropout=0.0), 65)
    for one, other in zip(separate.parameters(), [p for p in together.parameters()][:2], strict=False):
        assert torch.equal(one, other)
    tokens = blocks.batch("val", 3)[0]
    torch.testing.assert_close(together(tokens), separate(tokens))  # the same seed draws the same weights


def test_accumulated_batches_count_as_one_large_batch(proverb):
    # The whole split: unlike random batches it draws no numbers before the first update.
    plain = dataclasses.replace(SMALL, batch_size=8, dropout=0.0, epochs=1, init_std=0.0, whole_split=True)
    parts = dataclasses.replace(plain, batch_size=4, accumulate=2)
    models = [run(proverb, config) for config in (plain, parts)]
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.002)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(blocks, tmp_path, capsys, optimizer):
    config = dataclasses.replace(SMALL, optimizer=optimizer)
    whole = run(blocks, config)
    lines = capsys.readouterr().out.split("\n")

    class Stop(Exception):
        pass

    def stop(epoch, *losses):
        if epoch == 6:
            raise Stop

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(training, "log_losses", stop)
        run(blocks, config, save=tmp_path / "run.pt")
    torch.manual_seed(99)
    resumed = run(blocks, config, resume=tmp_path / "run.pt")
    assert capsys.readouterr().out.split("\n") == lines[2:]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_checkpoint_of_another_run_is_refused(blocks, tmp_path):
    path = tmp_path / "run.pt"
    run(blocks, save=path)
    with pytest.raises(UserError, match=r"run\.pt: saved with n_layer 2, but this run has 3"):
        run(blocks, dataclasses.replace(SMALL, n_layer=3), resume=path)
    (tmp_path / "text.txt").write_text("abc" * 200)
    with pytest.raises(UserError, match="saved with another text"):
        run(Corpus(tmp_path / "text.txt", 16), resume=path)


@pytest.mark.parametrize("keep", [0, 10, 1000, -1])
def test_a_truncated_checkpoint_is_refused(blocks, tmp_path, keep):
    path = tmp_path / "run.pt"
    run(blocks, save=path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"run\.pt: not a checkpoint"):
        checkpoint.load(path)


def test_foreign_files_are_refused(tmp_path):
    torch.save({"model": 1}, tmp_path / "foreign.pt")
    with pytest.raises(UserError, match="not a checkpoint of these scripts"):
        checkpoint.load(tmp_path / "foreign.pt")
    (tmp_path / "text.pt").write_text("To be, or not to be")
    with pytest.raises(UserError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "text.pt")
    with pytest.raises(UserError, match="No such file"):
        checkpoint.load(tmp_path / "none.pt")
    with pytest.raises(UserError, match="Is a directory"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("place", [".", "none/run.pt"])
def test_a_place_that_cannot_hold_a_checkpoint_is_refused_before_training(monkeypatch, place):
    monkeypatch.setattr(sys, "argv", ["task07.py", "--save", place])
    with pytest.raises(UserError, match=f"argument --save: expected a file in a folder that exists, got '{place}'"):
        task07.main()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match=r"run\.pt: cannot save there"):
        checkpoint.save(tmp_path / "none" / "run.pt", {})


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is POSIX")
def test_kill_9_fifty_times_while_saving_leaves_fifty_checkpoints(tmp_path):
    path, last = tmp_path / "run.pt", 0
    checkpoint.save(path, {"n": 0, "weights": torch.zeros(500_000)})
    for i in range(50):
        # A fork of this process: a new one would spend seconds importing PyTorch.
        child = os.fork()
        if child == 0:
            n = last
            while True:
                n += 1
                checkpoint.save(path, {"n": n, "weights": torch.full((500_000,), float(n))})
        time.sleep(0.02 + 0.003 * i)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        state = checkpoint.load(path)
        assert state["n"] >= last and (state["weights"] == state["n"]).all()
        last = state["n"]
    assert last > 50


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_before_the_run_ends(tmp_path, stop):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog\n" * 70)
    command = [sys.executable, "task07.py", "--data", str(text), "--epochs", "1000", "--threads", "2"]
    command += ["--preset", "laptop", "--save", str(tmp_path / "run.pt")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("Epoch 0: ")
        process.send_signal(stop)
        _, err = process.communicate(timeout=100)
    assert process.returncode == 130
    assert err.startswith("task07.py: Interrupted after epoch ") and err.endswith("run.pt.\n") and err.count("\n") == 1
    assert checkpoint.load(tmp_path / "run.pt")["epoch"] >= 1


def test_the_whole_split_counts_every_character_once(proverb):
    for stride in (None, 8, 5):
        assert score_split(build(proverb), proverb, "val", stride).characters == len(proverb.splits["val"]) - 1


def test_the_whole_split_is_the_mean_over_its_characters(proverb):
    model = build(proverb).eval()
    text, nats, hits = proverb.splits["val"], [], []
    for stride in (None, 8):
        nats.clear(), hits.clear()
        done = 0
        for start in [*range(0, len(text) - 16, stride or 16), len(text) - 17]:
            for position in range(16):
                if start + position >= done:
                    logits = model(text[None, start : start + position + 1])[0, -1]
                    nats.append(-logits.log_softmax(-1)[text[start + position + 1]].item())
                    hits.append(logits.argmax().item() == text[start + position + 1].item())
            done = start + 16
        score = score_split(model, proverb, "val", stride)
        assert len(nats) == len(text) - 1 == score.characters
        assert score.nats == pytest.approx(sum(nats) / len(nats), abs=1e-5)
        assert score.accuracy == pytest.approx(sum(hits) / len(hits))
        assert score.bits == pytest.approx(score.nats / math.log(2))
        assert score.perplexity == pytest.approx(math.exp(score.nats))


def test_task_7_prints_the_documented_format(monkeypatch, capsys, tmp_path):
    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question:\n" * 70)
    monkeypatch.setattr(task07, "PRESETS", {"laptop": SMALL, "documented": SMALL})
    monkeypatch.setattr(sys, "argv", ["task07.py", "--device", "cpu", "--data", str(tmp_path / "text.txt")])
    task07.main()
    out, err = capsys.readouterr()
    assert [line[0] for line in parse_log(out)] == [0, 3, 6, 8]
    assert err == ""


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5])
def test_dropout_zeroes_the_asked_fraction_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(1001, 333, requires_grad=True)
    y = Dropout(p)(x)
    assert (y == 0).float().mean().item() == pytest.approx(round(p * 256) / 256, abs=0.005)
    assert y.mean().item() == pytest.approx(1, abs=0.005)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())  # a dropped element gets no gradient, a kept one the scale
    rows = (y == 0).float().mean(dim=1)
    assert rows.std().item() == pytest.approx((p * (1 - p) / 333) ** 0.5, rel=0.1, abs=1e-6)  # drawn independently
    assert torch.equal(Dropout(p).eval()(x), x)


def test_dropout_refuses_what_is_no_fraction():
    with pytest.raises(ValueError, match="expected 0 ≤ p < 1, got 1"):
        Dropout(1)
