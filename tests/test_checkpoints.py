"""Checkpoints: whole whatever happens while they are saved, refused where they do not fit, resumed exactly."""

import copy
import dataclasses
import io
import os
import signal
import time
from unittest.mock import DEFAULT, Mock

import task06
import task07
import task08_infinite
import task09_rope
from common import checkpoint, stream, train
from common.data import Corpus
from common.run import UserError
from tests.lessons import CONFIG, SMALL, TEXT, complaint, launch, learn

import pytest
import torch

# Saving


@pytest.mark.slow
def test_an_open_file_is_neither_moved_nor_removed(proverb, tmp_path, monkeypatch):
    """Windows' rule, where /proc says which files are open."""
    opened = set()
    real_open, real_replace = open, os.replace

    def watched(file, *how, **more):
        stream = real_open(file, *how, **more)
        opened.add(stream)
        return stream

    def replace(one, other):
        still = [stream.name for stream in opened if not stream.closed]
        assert str(one) not in map(str, still) and str(other) not in map(str, still)
        real_replace(one, other)

    monkeypatch.setattr("builtins.open", watched)
    monkeypatch.setattr(os, "replace", replace)
    learn(proverb, save=tmp_path / "run.pt")
    assert len(opened) >= 3 and checkpoint.load(tmp_path / "run.pt")["step"] == 6


def save_to(monkeypatch, path, *flags):
    """Task 7, as its user starts it."""
    text = ["--data", path.parent / "text.txt"] if (path.parent / "text.txt").exists() else []
    return complaint(launch, monkeypatch, task07, "--device", "cpu", *text, "--save", path, *flags)


def test_a_save_replaces_nothing_that_is_not_its_own(proverb, tmp_path, monkeypatch):
    poem, old = tmp_path / "mine.txt", tmp_path / "old.pt"
    poem.write_text("a poem")
    assert "mine.txt: not a checkpoint" in save_to(monkeypatch, poem) and poem.read_text() == "a poem"
    said = complaint(launch, monkeypatch, task07, "--data", tmp_path / "text.txt", "--save", os.devnull)
    assert "not a regular file" in said
    learn(proverb, save=old)
    said = save_to(monkeypatch, old)
    assert said.endswith("a checkpoint is there already; --resume it, remove it, or save elsewhere")
    assert not save_to(monkeypatch, old, "--resume", old)


@pytest.mark.parametrize("place", [".", "none/run.pt"])
def test_a_place_that_cannot_hold_a_checkpoint_is_refused_before_training(monkeypatch, place):
    said = complaint(launch, monkeypatch, task07, "--save", place)
    assert said.startswith(f"argument --save: expected a file in a folder that exists, got '{place}'")


def test_a_place_that_cannot_be_written_is_found_out_before_training(tmp_path, monkeypatch, proverb):
    monkeypatch.setattr("tempfile.TemporaryFile", Mock(side_effect=OSError(30, "Read-only file system")))
    said = save_to(monkeypatch, tmp_path / "run.pt")
    assert said.endswith("run.pt: cannot save there: Read-only file system")


@pytest.mark.skipif(os.name == "nt", reason="links and modes as on POSIX")
def test_a_save_follows_links_and_keeps_to_the_umask(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.pt").symlink_to(tmp_path / "folder" / "real.pt")
    checkpoint.save(tmp_path / "link.pt", {"n": 1})
    assert (tmp_path / "link.pt").is_symlink() and checkpoint.load(tmp_path / "folder" / "real.pt")["n"] == 1
    before = os.umask(0o022)
    checkpoint.save(tmp_path / "open.pt", {"n": 1})
    os.umask(before)
    assert (tmp_path / "open.pt").stat().st_mode & 0o777 == 0o644


def test_leftovers_of_killed_runs_go_at_the_next_start(tmp_path):
    for name in (".run.pt.999999999.saving", ".run.pt.999999998.saving", ".other.pt.999999998.saving"):
        (tmp_path / name).write_bytes(b"half")
    checkpoint.check_place(tmp_path / "run.pt", None, "remove it")
    assert os.listdir(tmp_path) == [".other.pt.999999998.saving"]


def test_a_full_disk_is_called_that(tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "open", lambda place, how: Full(place, "x"), raising=False)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoint.save(tmp_path / "run.pt", {"n": torch.zeros(3)})
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_in_mid_run_warns_and_the_run_goes_on(proverb, tmp_path, monkeypatch, capsys):
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(checkpoint, "save", save := Mock(wraps=checkpoint.save, side_effect=[full, DEFAULT, DEFAULT]))
    learn(proverb, save=tmp_path / "run.pt")
    assert [call.args[1]["step"] for call in save.mock_calls] == [2, 4, 6]
    assert checkpoint.load(tmp_path / "run.pt")["step"] == 6
    err = capsys.readouterr().err
    assert err == "Not saved at step 2: [Errno 28] No space left on device. The run goes on and tries again.\n"


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


# Resuming


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_resumed_run_goes_on_as_if_it_had_never_stopped(blocks, tmp_path, monkeypatch, capsys, optimizer):
    config = dataclasses.replace(CONFIG, optimizer=optimizer, dropout=0.1, max_steps=9, eval_interval=3)
    whole = learn(blocks, config)
    lines = capsys.readouterr().out.split("\n")

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(train, "log_losses", Mock(side_effect=[None, None, InterruptedError]))  # at step 6
        learn(blocks, config, save=tmp_path / "run.pt")
    resumed = learn(blocks, config, resume=tmp_path / "run.pt")
    assert capsys.readouterr().out.split("\n") == lines[2:]
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


TINY = dataclasses.replace(CONFIG, batch_size=2, block_size=8, n_embd=8, n_head=2, n_layer=1, max_steps=3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run's checkpoint as `load` reads it, and its folder, with its text."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "text.txt").write_text(TEXT)
    learn(Corpus(folder / "text.txt", 8), TINY, save=folder / "run.pt")
    return checkpoint.load(folder / "run.pt"), folder


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"config": dataclasses.replace(TINY, n_layer=3)}, "saved with n_layer 1, but this run has 3"),
        ({"config": dataclasses.replace(TINY, max_steps=2)}, "has 3 steps already, but this run has --steps 2"),
        ({"seed": 7}, "saved with --seed 42, but this run has 7"),
        ({"model_class": task09_rope.GPT}, "holds a model of task07, not of task09_rope"),
        (TEXT[::-1], "saved with another text, which has the same symbols"),
        ("abc" * 200, "saved with another text, which has other symbols"),
    ],
    ids=["layers", "steps", "seed", "task", "text", "symbols"],
)
def test_another_runs_checkpoint_is_refused_with_its_reason(saved, tmp_path, how, said):
    (tmp_path / "text.txt").write_text(how if isinstance(how, str) else TEXT)
    flags = {"config": TINY} | (how if isinstance(how, dict) else {})
    with pytest.raises(UserError, match=rf"run\.pt: {said}"):
        learn(Corpus(tmp_path / "text.txt", 8), resume=saved[1] / "run.pt", **flags)


# Files that are none, damaged, or changed


@pytest.mark.skipif(os.name == "nt", reason="FIFOs are POSIX")
def test_what_is_no_checkpoint_is_named(tmp_path):
    torch.save({"model": 1}, tmp_path / "foreign.pt")
    (tmp_path / "text.pt").write_text("To be, or not to be")
    os.mkfifo(tmp_path / "fifo.pt")
    for name, said in (
        ("foreign.pt", "not a checkpoint of these scripts"),
        ("text.pt", "not a checkpoint, or an incomplete one"),
        ("none.pt", "No such file"),
        ("fifo.pt", "not a regular file"),
        (".", "not a regular file"),
    ):
        assert said in complaint(checkpoint.load, tmp_path / name)


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_byte_anywhere_is_noticed(saved, tmp_path, seed):
    whole, path = (saved[1] / "run.pt").read_bytes(), tmp_path / "run.pt"
    generator = torch.Generator().manual_seed(seed)
    for place in torch.randint(len(whole), (40,), generator=generator).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        # Between the parts of the zip there are bytes that mean nothing.
        assert complaint(checkpoint.load, path) or str(checkpoint.load(path)) == str(saved[0])


def both(state, folder, path):
    """What resuming says of a checkpoint, or of the bytes of a file, and what task 8 says."""
    if isinstance(state, bytes):
        path.write_bytes(state)
    else:
        checkpoint.save(path, {name: value for name, value in state.items() if name != "format"})
    return (
        complaint(lambda: learn(Corpus(folder / "text.txt", 8), TINY, resume=path)),
        complaint(stream.load_model, path, task08_infinite.GPT, task08_infinite.Config),
    )


def with_part(state, path, value):
    """A copy of a checkpoint with another value at a place in it; of a function, what it makes of the value there."""
    part = state = copy.deepcopy(state)
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value(part[path[-1]]) if callable(value) else value
    return state


VALUES = {"none": None, "text": "abc", "empty text": "", "minus one": -1, "huge": 2**70, "nan": float("nan")}
VALUES |= {"list": [1, 2], "empty dict": {}, "dict": {"a": 1}, "scalar": torch.tensor(1.0)}
VALUES |= {"matrix": torch.full((3, 3), float("nan")), "integers": torch.arange(4)}
READ_BY_TASK_8 = ("model_name", "config", "vocabulary", "model", "trial")
FIRST, *PARTS = *READ_BY_TASK_8, "step", "text", "seed", "threads", "optimizers", "random"
SIZES = [
    {name: value}
    for name in ("n_embd", "n_head", "n_layer", "block_size", "batch_size")
    for value in (0, -2, 2.5, "8", None)
]
SIZES += [{"n_head": 3}, {"n_embd": 6, "n_head": 2}, {"n_embd": 10**9, "n_head": 1}, {"dropout": 2.0}]
SIZES += [{"dropout": "a"}, {"unknown": 1}, {1: 2}]


@pytest.mark.parametrize("part", sorted({FIRST, *PARTS} - {"trial", "optimizers"}))
def test_a_checkpoint_that_lacks_a_part_says_which(saved, tmp_path, part):
    state = {name: value for name, value in saved[0].items() if name != part}
    resumed, written = both(state, saved[1], tmp_path / "run.pt")
    assert resumed.endswith(f"{part!r} is missing") and (written or part not in READ_BY_TASK_8)


@pytest.mark.parametrize(
    ("part", "value"),  # one part has all values, the others, which share their code, two
    [*((FIRST, value) for value in VALUES), *((part, value) for part in PARTS for value in ("none", "list"))],
)
def test_parts_of_a_checkpoint(saved, tmp_path, part, value):
    resumed, written = both(saved[0] | {part: VALUES[value]}, saved[1], tmp_path / "run.pt")
    assert resumed or part == "threads"  # another number is only said
    assert written or part not in READ_BY_TASK_8


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sizes_in_a_checkpoint(saved, tmp_path, sizes):
    state = saved[0] | {"config": saved[0]["config"] | sizes}
    resumed, written = both(state, saved[1], tmp_path / "run.pt")
    assert resumed.startswith(str(tmp_path)) or not sizes.keys() & SMALL.keys()
    assert written.startswith(str(tmp_path)) or "batch_size" in sizes


@pytest.mark.parametrize("value", VALUES)
def test_weights_and_optimizers_in_a_checkpoint(saved, tmp_path, value):
    for path in (
        ("model", "lm_head.weight"),
        ("optimizers", 0),
        ("optimizers", 0, "state"),
        ("optimizers", 0, "param_groups"),
        ("optimizers", 0, "state", 0),
        ("optimizers", 0, "state", 0, "exp_avg"),
        ("random", "cpu"),
    ):
        resumed, _ = both(with_part(saved[0], path, VALUES[value]), saved[1], tmp_path / "run.pt")
        assert resumed, path


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("optimizers", 0, "state", 0, "exp_avg"), torch.zeros(3), "the optimizer's exp_avg has another shape"),
        (("model", "lm_head.weight"), torch.zeros(2, 2), "size mismatch for lm_head.weight"),
        (("model", "lm_head.weight"), lambda weight: weight * float("nan"), "its weights are not finite"),
    ],
)  # fmt: skip
def test_numbers_of_another_shape_or_kind_are_named(saved, tmp_path, path, value, said):
    resumed, _ = both(with_part(saved[0], path, value), saved[1], tmp_path / "run.pt")
    assert said in resumed


@pytest.mark.parametrize("length", [0, 1, 4, 100, 1000, -1000, -100, -22, -1])
def test_a_checkpoint_cut_off(saved, tmp_path, length):
    whole = (saved[1] / "run.pt").read_bytes()
    assert all("run.pt: not a checkpoint" in said for said in both(whole[:length], saved[1], tmp_path / "run.pt"))


def test_another_model_under_the_same_names_is_refused(proverb, tmp_path, monkeypatch):
    """GELU for ReLU, say, edited into task 7: task 8 would write nonsense with its weights."""
    path, read = tmp_path / "gelu.pt", (task08_infinite.GPT, task08_infinite.Config)
    with monkeypatch.context() as patch:
        patch.setattr(task07.nn, "ReLU", torch.nn.GELU)
        learn(proverb, save=path)
        stream.load_model(path, *read)
    for name, action in (
        ("task08_infinite", lambda: stream.load_model(path, *read)),
        ("task07", lambda: learn(proverb, resume=path)),
    ):
        with pytest.raises(UserError, match=f"weights of another model: {name} computes something else with them"):
            action()


# Weights for task 8


def test_task_8_reads_task_7s_and_6s_checkpoints_and_no_others(blocks, tmp_path):
    read = task08_infinite.GPT, task08_infinite.Config
    sizes = {"block_size": 16, "n_embd": 24, "n_head": 3, "n_layer": 2}
    for module in (task06, task07):
        saved = module.GPT(config := module.Config(**sizes), 65)
        checkpoint.save_run(tmp_path / "run.pt", saved, [], blocks, config, config.max_steps)
        model, vocabulary = stream.load_model(tmp_path / "run.pt", *read)
        assert torch.equal(model.lm_head.weight, saved.lm_head.weight)
        assert not model.training and vocabulary == blocks.vocabulary
    saved = task09_rope.GPT(config := task09_rope.Config(**sizes), 65)
    checkpoint.save_run(tmp_path / "nine.pt", saved, [], blocks, config, 0)
    with pytest.raises(UserError, match=r"nine\.pt: holds a model of task09_rope, not of task07 or task06"):
        stream.load_model(tmp_path / "nine.pt", *read)
    with pytest.raises(UserError, match=r"none\.pt: no such file; python task07\.py --save .*none\.pt makes one"):
        stream.load_model(tmp_path / "none.pt", *read)
