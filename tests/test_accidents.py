"""What people's accidents do: to checkpoints, to runs that diverge, with signals and stray environments."""

import contextlib
import dataclasses
import math
import os
import re
import signal
import subprocess
import sys
import threading
from argparse import Namespace

import task07
import task08_infinite
import task09_rope
from common import checkpoint, optim, options, precision, session, stream, train
from common.config import LAPTOP
from common.data import Corpus
from common.run import Interrupted, UserError
from common.run import run as run_script
from tests.lessons import ROOT, SMALL, TEXT

import pytest
import torch

CONFIG = dataclasses.replace(task07.Config(), **SMALL)


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return Corpus(tmp_path / "text.txt", 16)


def run(corpus, config=CONFIG, save=None, resume=None, seed=42, model_class=task07.GPT):
    torch.manual_seed(seed)
    model = model_class(config, len(corpus.vocabulary))
    flags = Namespace(device=torch.device("cpu"), save=save, save_every=2, resume=resume, seed=seed)
    train.train(model, corpus, config, flags)
    return model


def main(monkeypatch, tmp_path, *flags):
    """Task 7 with a small preset, as its user starts it."""
    monkeypatch.setattr(task07, "parse_options", lambda doc, kind: options.parse_options(doc, kind, {"laptop": SMALL}))
    line = ["task07.py", "--device", "cpu", "--data", str(tmp_path / "text.txt"), *map(str, flags)]
    monkeypatch.setattr(sys, "argv", line)
    task07.main()


# Saving


@pytest.mark.slow
def test_an_open_file_is_neither_moved_nor_removed(corpus, tmp_path, monkeypatch):
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
    run(corpus, save=tmp_path / "run.pt")
    assert len(opened) >= 3 and checkpoint.load(tmp_path / "run.pt")["step"] == 6


def test_a_save_replaces_nothing_that_is_not_its_own(corpus, tmp_path, monkeypatch):
    (tmp_path / "mine.txt").write_text("a poem")
    with pytest.raises(UserError, match=r"mine\.txt: not a checkpoint"):
        main(monkeypatch, tmp_path, "--save", tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "a poem"
    with pytest.raises(UserError, match="not a regular file"):
        main(monkeypatch, tmp_path, "--save", os.devnull)
    run(corpus, save=tmp_path / "old.pt")
    with pytest.raises(UserError, match="a checkpoint is there already; --resume it, remove it, or save elsewhere"):
        main(monkeypatch, tmp_path, "--save", tmp_path / "old.pt")
    main(monkeypatch, tmp_path, "--save", tmp_path / "old.pt", "--resume", tmp_path / "old.pt")


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
    assert [path.name for path in tmp_path.iterdir()] == [".other.pt.999999998.saving"]


def test_a_place_that_cannot_be_written_is_found_out_before_training(tmp_path, monkeypatch, corpus):
    def refuse(dir):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"run\.pt: cannot save there: Read-only file system"):
        main(monkeypatch, tmp_path, "--save", tmp_path / "run.pt")


def test_a_save_that_fails_in_mid_run_warns_and_the_run_goes_on(corpus, tmp_path, monkeypatch, capsys):
    real, calls = checkpoint.save, []

    def sometimes(path, state):
        calls.append(state["step"])
        if state["step"] == 2:
            raise OSError(28, "No space left on device")
        real(path, state)

    monkeypatch.setattr(checkpoint, "save", sometimes)
    run(corpus, save=tmp_path / "run.pt")
    assert calls == [2, 4, 6] and checkpoint.load(tmp_path / "run.pt")["step"] == 6
    err = capsys.readouterr().err
    assert err == "Not saved at step 2: [Errno 28] No space left on device. The run goes on and tries again.\n"


# Loading and resuming


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_byte_anywhere_is_noticed(corpus, tmp_path, seed):
    path = tmp_path / "run.pt"
    run(corpus, save=path)
    whole = path.read_bytes()
    before = checkpoint.load(path)
    generator = torch.Generator().manual_seed(seed)
    for place in torch.randint(len(whole), (40,), generator=generator).tolist():
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            after = checkpoint.load(path)
        except UserError as error:
            assert "\n" not in str(error)
            continue
        # Between the parts of the zip there are bytes that mean nothing.
        assert str(after) == str(before)


def change(path, **values):
    """A checkpoint with other values in it."""
    state = checkpoint.load(path)
    for name, value in values.items():
        if value is None:
            del state[name]
        else:
            state[name] = value
    checkpoint.save(path, {key: value for key, value in state.items() if key != "format"})


@pytest.mark.parametrize("field", ["step", "config", "vocabulary", "model", "optimizers", "random", "seed", "text"])
def test_a_checkpoint_that_lacks_a_part_is_one_line(corpus, tmp_path, field):
    run(corpus, save=tmp_path / "run.pt")
    change(tmp_path / "run.pt", **{field: None})
    with pytest.raises(UserError, match=rf"{field} missing|{field}"):
        run(corpus, resume=tmp_path / "run.pt")


def test_another_runs_checkpoint_is_refused_with_its_reason(corpus, tmp_path):
    path = tmp_path / "run.pt"
    run(corpus, save=path)
    with pytest.raises(UserError, match="has 6 steps already, but this run has --steps 4"):
        run(corpus, dataclasses.replace(CONFIG, max_steps=4), resume=path)
    with pytest.raises(UserError, match="saved with --seed 42, but this run has 7"):
        run(corpus, resume=path, seed=7)
    with pytest.raises(UserError, match="holds a model of task07, not of task09_rope"):
        nine = dataclasses.replace(task09_rope.Config(), **SMALL)
        run(corpus, nine, resume=path, model_class=task09_rope.GPT)
    (tmp_path / "other.txt").write_text(TEXT[::-1])
    with pytest.raises(UserError, match="saved with another text, which has the same symbols"):
        run(Corpus(tmp_path / "other.txt", 16), resume=path)


def test_optimizer_states_and_weights_of_another_shape_are_refused(corpus, tmp_path):
    path = tmp_path / "run.pt"
    run(corpus, save=path)
    state = checkpoint.load(path)
    optimizers = state["optimizers"]
    optimizers[0]["state"][0]["exp_avg"] = torch.zeros(3)
    change(path, optimizers=optimizers)
    with pytest.raises(UserError, match="the optimizer's exp_avg has another shape"):
        run(corpus, resume=path)
    for value, message in (
        (torch.zeros(2, 2), "size mismatch for lm_head.weight"),
        (torch.tensor(float("nan")), "not finite"),
    ):
        weights = dict(state["model"])
        name = "lm_head.weight"
        weights[name] = value if value.ndim else weights[name] * value
        change(path, model=weights)
        with pytest.raises(UserError, match=message):
            run(corpus, resume=path)


@pytest.mark.skipif(os.name == "nt", reason="FIFOs are POSIX")
def test_what_is_no_regular_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "fifo.pt")
    for path in (tmp_path / "fifo.pt", tmp_path):
        with pytest.raises(UserError, match="not a regular file"):
            checkpoint.load(path)


@pytest.mark.parametrize("sizes", [{"n_head": 0}, {"dropout": 2.0}, {"n_layer": -1, "n_head": 5}, {"block_size": 8.5}])
def test_sizes_that_make_no_model_are_one_line(corpus, tmp_path, sizes):
    config = dataclasses.replace(task07.Config(), **SMALL)
    checkpoint.save_run(tmp_path / "run.pt", task07.GPT(config, 20), [], corpus, config, 0)
    change(tmp_path / "run.pt", config=dataclasses.asdict(config) | sizes)
    with pytest.raises(UserError, match=r"run\.pt: ") as error:
        stream.load_model(tmp_path / "run.pt", task07.GPT, task07.Config)
    assert "\n" not in str(error.value)


def test_another_model_under_the_same_names_is_refused(corpus, tmp_path, monkeypatch):
    """GELU for ReLU, say, edited into task 7: task 8 would write nonsense with its weights."""
    config = dataclasses.replace(task07.Config(), **SMALL)
    monkeypatch.setattr(task07.nn, "ReLU", torch.nn.GELU)
    run(corpus, config, save=tmp_path / "gelu.pt", model_class=task07.GPT)
    stream.load_model(tmp_path / "gelu.pt", task08_infinite.GPT, task08_infinite.Config)
    monkeypatch.undo()
    with pytest.raises(UserError, match="weights of another model: task08_infinite computes something else with them"):
        stream.load_model(tmp_path / "gelu.pt", task08_infinite.GPT, task08_infinite.Config)
    with pytest.raises(UserError, match="weights of another model: task07 computes something else with them"):
        run(corpus, config, resume=tmp_path / "gelu.pt", model_class=task07.GPT)


# Runs


def test_a_run_that_diverges_stops_and_keeps_the_last_good_file(corpus, tmp_path):
    path = tmp_path / "run.pt"
    config = dataclasses.replace(CONFIG, optimizer="adamw", learning_rate=1e38, grad_clip=0.0, warmup=0.0, max_steps=40)
    with pytest.raises(UserError, match=r"the loss at step \d+ is not a finite number: the run diverged"):
        run(corpus, config, save=path)
    if path.exists():
        assert all(value.isfinite().all() for value in checkpoint.load(path)["model"].values())


@pytest.mark.parametrize("temperature", ["0", "1e-40", "1e-6"])
def test_a_tiny_temperature_is_greedy(monkeypatch, temperature):
    monkeypatch.setattr(sys, "argv", ["task08_infinite.py", "--temperature", temperature])
    sampling = stream.parse_options("").sampling
    logits = stream.keep_likely(torch.tensor([[1.0, 3.0, 2.0]]), **sampling)
    assert task08_infinite.sample(logits, sampling["temperature"]).tolist() == [[1]]


def test_ctrl_c_in_the_last_save_ends_the_run_saved(corpus, tmp_path, monkeypatch):
    real = checkpoint.save

    def interrupted(path, state):
        real(path, state)
        if state["step"] == 6:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(checkpoint, "save", interrupted)
    with pytest.raises(Interrupted, match="after step 5 of 6, saved to"):
        run(corpus, save=tmp_path / "run.pt")
    assert checkpoint.load(tmp_path / "run.pt")["step"] == 6


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_in_an_evaluation_is_answered_at_once(corpus, tmp_path, monkeypatch, times):
    said = []
    real = train.evaluate

    def evaluate(*arguments):
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
            assert any("Stopping after this step, to save" in text for text in said)
        return real(*arguments)

    monkeypatch.setattr(session, "hint", said.append)
    monkeypatch.setattr(train, "evaluate", evaluate)
    with pytest.raises(Interrupted if times == 1 else KeyboardInterrupt):
        run(corpus, save=tmp_path / "run.pt")
    assert (tmp_path / "run.pt").exists() == (times == 1)


@pytest.mark.parametrize("steps", [10, 30, 100, 1200])
def test_a_short_run_still_rises_to_the_peak_and_falls(steps):
    config = dataclasses.replace(task07.Config(), **LAPTOP | {"max_steps": steps})
    rates = [optim.get_lr(step, config) for step in range(steps)]
    assert max(rates) == 1.0 and rates[-1] < 0.15


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_signals_and_stray_environments(tmp_path):
    line = [sys.executable, "task01.py", "--steps", "5000"]
    environment = os.environ | {"RANK": "1", "WORLD_SIZE": "2"}
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline().startswith(b"Epoch 0: ")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (143, b"")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX")
def test_kills_and_stops_at_random_moments(tmp_path):
    line = [sys.executable, "-m", "tools.saving", "--kills", "8", "--stops", "3"]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr


def test_outside_the_main_thread_a_script_runs_and_saves(corpus, tmp_path):
    """As in a notebook's thread, where no signal handler can be set."""
    ended = []
    thread = threading.Thread(target=lambda: ended.append(run_script(lambda: run(corpus, save=tmp_path / "run.pt"))))
    thread.start()
    thread.join(60)
    assert isinstance(ended[0], task07.GPT) and checkpoint.load(tmp_path / "run.pt")["step"] == 6


def test_too_little_memory_is_one_line(capsys):
    def ask():
        torch.empty(2**60, dtype=torch.uint8)

    with pytest.raises(SystemExit) as end:
        run_script(ask)
    assert end.value.code == 1
    expected = r".*: too little memory .*: 1,152,921,504,607 MB more were asked for\n"
    assert re.fullmatch(expected, capsys.readouterr().err)


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_bfloat16_is_used_where_the_device_can(monkeypatch, device, able):
    asked = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able == (device == "cpu")})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able == (device == "cuda"))
    monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda major, minor: able == (device == "mps"))
    monkeypatch.setattr(torch, "autocast", lambda device, dtype, enabled: asked.update({device: (dtype, enabled)}))
    precision.low_precision(torch.device(device))
    assert asked == {device: (torch.bfloat16, able)}


def test_a_processor_that_is_kept_to_avx2_multiplies_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    for kept, dtype in (("AVX512", torch.bfloat16), ("AVX2", torch.float32)):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda kept=kept: kept)
        assert precision.product_dtype(torch.device("cpu")) == dtype


def test_what_is_tracked_has_a_number_for_each_curve(corpus, monkeypatch):
    noted = []

    @contextlib.contextmanager
    def tracker(kind, name, settings):
        assert (kind, name, settings["n_embd"]) == ("tensorboard", "task07 seed 42", 24)
        yield lambda step, numbers: noted.append((step, numbers))

    monkeypatch.setattr(session.track, "run", tracker)
    config = dataclasses.replace(CONFIG, eval_interval=2)
    torch.manual_seed(42)
    model = task07.GPT(config, len(corpus.vocabulary))
    flags = {"device": torch.device("cpu"), "save": None, "save_every": 2, "resume": None, "track": "tensorboard"}
    train.train(model, corpus, config, Namespace(**flags, seed=42))
    assert [step for step, _ in noted] == [0, 2, 4, 5]
    names = {f"{split} {what}" for split in ("train", "val") for what in ("loss", "perplexity", "accuracy")}
    assert all(numbers.keys() == names | {"learning rate", "tokens per second"} for _, numbers in noted)
    assert noted[1][1]["val perplexity"] == pytest.approx(math.exp(noted[1][1]["val loss"]))
