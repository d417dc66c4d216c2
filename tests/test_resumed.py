"""Runs that are stopped and resumed, scores of a whole split, and the weights for task 8."""

import dataclasses
import math
import os
import signal
import sys
import time

import task06
import task07
import task08_infinite
import task09_rope
from common import checkpoint, options, stream, train
from common.data import Corpus
from common.evaluate import score_split
from common.run import UserError
from tests.lessons import parse_log
from tests.test_common import SMALL, build, run

import pytest
import torch

# Stopped and resumed.


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(blocks, tmp_path, capsys, optimizer):
    config = dataclasses.replace(SMALL, optimizer=optimizer)
    whole = run(blocks, config)
    lines = capsys.readouterr().out.split("\n")

    class Stop(Exception):
        pass

    def stop(step, *losses):
        if step == 6:
            raise Stop

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(train, "log_losses", stop)
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
    with pytest.raises(UserError, match="not a regular file"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("place", [".", "none/run.pt"])
def test_a_place_that_cannot_hold_a_checkpoint_is_refused_before_training(monkeypatch, place):
    monkeypatch.setattr(sys, "argv", ["task07.py", "--save", place])
    with pytest.raises(UserError, match=f"argument --save: expected a file in a folder that exists, got '{place}'"):
        task07.main()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError):
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


def test_the_whole_split_counts_every_character_once(proverb):
    for stride in (0, 8, 5):
        assert score_split(build(proverb), proverb, "val", stride).characters == len(proverb.splits["val"]) - 1


def test_every_fourth_block_is_an_estimate(proverb):
    model, text = build(proverb).eval(), proverb.splits["val"].long()
    starts = torch.tensor([*range(0, len(text) - 16, 16), len(text) - 17])[::4]
    assert starts[-1] % 16 == 0  # not the last block, which overlaps the one before
    tokens, targets = proverb.windows(text, starts)
    expected = torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).item()
    score = score_split(model, proverb, "val", every=4)
    assert score.nats == pytest.approx(expected, abs=1e-5) and score.characters == targets.numel()


def test_the_whole_split_is_the_mean_over_its_characters(proverb):
    model = build(proverb).eval()
    text, nats, hits = proverb.splits["val"].long(), [], []
    for stride in (0, 8):
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
    small = {"laptop": dataclasses.asdict(SMALL)}
    monkeypatch.setattr(task07, "parse_options", lambda doc, config: options.parse_options(doc, config, small))
    monkeypatch.setattr(sys, "argv", ["task07.py", "--device", "cpu", "--data", str(tmp_path / "text.txt")])
    task07.main()
    out, err = capsys.readouterr()
    assert [line[0] for line in parse_log(out)] == [0, 3, 6, 8]
    assert err == ""


# Weights for task 8.


def test_task_8_reads_task_7s_and_6s_checkpoints_and_no_others(blocks, tmp_path):
    read = task08_infinite.GPT, task08_infinite.Config
    sizes = {"block_size": 16, "n_embd": 24, "n_head": 3, "n_layer": 2}
    for module in (task06, task07):
        config = dataclasses.replace(module.Config(), **sizes)
        saved = module.GPT(config, 65)
        checkpoint.save_run(tmp_path / "run.pt", saved, [], blocks, config, config.max_steps)
        model, vocabulary = stream.load_model(tmp_path / "run.pt", *read)
        assert torch.equal(model.lm_head.weight, saved.lm_head.weight)
        assert not model.training and vocabulary == blocks.vocabulary
    config = dataclasses.replace(task09_rope.Config(), **sizes)
    checkpoint.save_run(tmp_path / "nine.pt", task09_rope.GPT(config, 65), [], blocks, config, 0)
    with pytest.raises(UserError, match=r"nine\.pt: holds a model of task09_rope, not of task07 or task06"):
        stream.load_model(tmp_path / "nine.pt", *read)
    with pytest.raises(UserError, match=r"none\.pt: no such file; python task07\.py --save .*none\.pt makes one"):
        stream.load_model(tmp_path / "none.pt", *read)


def test_a_prompt_is_encoded_and_an_empty_one_begins_somewhere():
    assert stream.encode("ba", "abc").tolist() == [[1, 0]]
    assert stream.encode("", "a\nb").tolist() == [[1]]
    assert stream.encode("", "ab").tolist() == [[0]]
    with pytest.raises(UserError, match="argument --prompt: the model knows no 'x'; it knows abc"):
        stream.encode("x", "abc")
