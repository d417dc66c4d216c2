"""Inputs that nobody should give: each is one line that says what is wrong, or works."""

import copy
import dataclasses
import functools
import sys
from argparse import Namespace

import task01
import task07
import task08_infinite
import task09_rope
from common import checkpoint, options, stream, train
from common.data import Corpus
from common.run import UserError
from tests import lessons
from tests.lessons import TEXT

import pytest
import torch

SMALL = lessons.SMALL | {"batch_size": 2, "block_size": 8, "n_embd": 8, "n_head": 2, "n_layer": 1, "max_steps": 3}
CONFIG = dataclasses.replace(task09_rope.Config(), **SMALL)
LONG = "a" * 300
NUMBERS = [
    "",
    " ",
    "-1",
    "0x10",
    "1.5",
    "1e3",
    "nan",
    "inf",
    "-inf",
    "ten",
    "٣",
    "²",
    "9" * 40,
    "1_000",
    "1,000",
    "\x00",
    "None",
]
VALUES = {
    "none": None,
    "text": "abc",
    "empty text": "",
    "minus one": -1,
    "huge": 2**70,
    "nan": float("nan"),
    "list": [1, 2],
    "empty dict": {},
    "dict": {"a": 1},
    "scalar": torch.tensor(1.0),
    "matrix": torch.full((3, 3), float("nan")),
    "integers": torch.arange(4),
}
SIZES = [
    *(
        {name: value}
        for name in ("n_embd", "n_head", "n_layer", "block_size", "batch_size")
        for value in (0, -2, 2.5, "8", None)
    ),
    {"n_head": 3},
    {"n_embd": 6, "n_head": 2},
    {"n_embd": 10**9, "n_head": 1},
    {"dropout": 2.0},
    {"dropout": "a"},
    {"unknown": 1},
    {1: 2},
]
TEXTS = {
    "empty": b"",
    "short": b"abc",
    "one character": b"a" * 3000,
    "one line": b"abcd efgh. " * 400,
    "line breaks": b"\n" * 3000,
    "carriage returns": b"a\rb\r\n" * 600,
    "nul": b"ab\0cd\0\n" * 600,
    "escapes": b"\x1b[31mred\t\x0b" * 50,
    "emoji": "😀 hi 👨‍👩‍👧 e\u0301\n".encode() * 400,
    "byte-order mark": b"\xef\xbb\xbf" + b"hello\n" * 300,
    "two byte-order marks": b"\xef\xbb\xbf" * 2 + b"hello\n" * 300,
    "utf-16": ("hello\n" * 300).encode("utf-16"),
    "utf-16 without mark": ("hello\n" * 300).encode("utf-16-le"),
    "utf-32": ("hello\n" * 300).encode("utf-32"),
    "latin-1": "Grüße ".encode("latin-1") * 300,
    "lone surrogate": b"ab\xed\xa0\x80" * 300,
    "cut symbol": b"hello\n" * 300 + b"\xf0\x9f",
    "random bytes": bytes(range(256)) * 20,
    "bidirectional": "\u202eabc\u202c \u2066x\u2069\n".encode() * 200,
    "private use": "\ue000\uf8ff\U0010ffff ".encode() * 200,
    "zip": b"PK\x03\x04" + bytes(3000),
}


def all_and_some(values, first, *others):
    """Each value with the first name, and two of them with each other name: they share their code."""
    some = list(values)[:: len(values) // 2][:2]
    return [(first, value) for value in values] + [(name, value) for name in others for value in some]


def one_line_or_works(action):
    """Call `action`; return the complaint, or an empty text."""
    try:
        action()
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 500, str(error)
        return str(error)
    return ""


def main(monkeypatch, script, *flags):
    """A script as its user starts it, with a small preset."""
    for module in (task07, task09_rope):
        small = functools.partial(options.parse_options, presets={"laptop": SMALL})
        monkeypatch.setattr(module, "parse_options", small)
    monkeypatch.setattr(sys, "argv", [f"{script.__name__}.py", *map(str, flags)])
    return one_line_or_works(script.main)


@pytest.mark.parametrize(
    ("flag", "value"), all_and_some(NUMBERS, "--steps", "--seed", "--threads", "--save-every"), ids=ascii
)
def test_numbers_of_the_tasks(monkeypatch, flag, value):
    known = [] if flag == "--steps" else ["--steps", 1]
    complaint = main(monkeypatch, task07, "--device", "cpu", *known, flag, value)
    assert complaint.startswith(f"argument {flag}")


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize(
    ("flag", "value"),
    all_and_some(NUMBERS, "--temperature", "--top-k", "--top-p", "--speed", "--seed", "--tokens"),
    ids=ascii,
)
def test_numbers_of_task_8(monkeypatch, capsys, flag, value):
    known = [] if flag == "--tokens" else ["--tokens", 2]
    complaint = main(monkeypatch, task08_infinite, *known, flag, value)
    assert complaint.startswith(f"argument {flag}") or capsys.readouterr().out


@pytest.mark.usefixtures("tiny_weights")
@pytest.mark.parametrize(
    "prompt", ["", "\n", " ", "\x00", "é", "😀", "\udcff", "\x1b[31m", "a" * 5000, "-", "--prompt"], ids=ascii
)
def test_prompts(monkeypatch, capsys, prompt):
    complaint = main(monkeypatch, task08_infinite, "--tokens", 2, "--seed", 1, f"--prompt={prompt}")
    assert "--prompt" in complaint or capsys.readouterr().out.startswith(prompt)


@pytest.mark.parametrize("flag", ["--data", "--save", "--resume", "--weights"])
@pytest.mark.parametrize(
    "path",
    ["", ".", "/", "none/none", "input.txt", "README.md", "\x00", LONG, "\udcff", "/dev/null", "/proc/self/mem"],
    ids=ascii,
)
def test_paths(monkeypatch, tmp_path, capsys, flag, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input.txt").write_text(TEXT)
    (tmp_path / "README.md").write_bytes(b"PK\x05\x06" + bytes(18))
    if flag == "--weights":
        complaint = main(monkeypatch, task08_infinite, "--tokens", 1, flag, path)
    else:
        complaint = main(monkeypatch, task09_rope, "--device", "cpu", "--data", "input.txt", flag, path)
    assert complaint or (flag == "--data" and path == "input.txt") or (flag == "--save" and path == "\udcff")
    assert (tmp_path / "input.txt").read_text() == TEXT


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("script", [task01, task07])
def test_texts(monkeypatch, tmp_path, capsys, script, name):
    (tmp_path / "text.txt").write_bytes(TEXTS[name])
    complaint = main(monkeypatch, script, "--device", "cpu", "--steps", 1, "--data", tmp_path / "text.txt")
    assert complaint.startswith(str(tmp_path / "text.txt")) or capsys.readouterr().out.startswith("Epoch 0")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run's checkpoint as `load` reads it, and its text."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "text.txt").write_text(TEXT)
    resume(folder, save=folder / "run.pt")
    return checkpoint.load(folder / "run.pt"), folder


def resume(folder, save=None, path=None):
    corpus = Corpus(folder / "text.txt", 8)
    torch.manual_seed(42)
    model = task09_rope.GPT(CONFIG, len(corpus.vocabulary))
    flags = Namespace(device=torch.device("cpu"), save=save, save_every=1, resume=path, seed=42)
    train.train(model, corpus, CONFIG, flags)


def write(path, state):
    checkpoint.save(path, {name: value for name, value in state.items() if name != "format"})


def both(folder, path):
    """What resuming says of a checkpoint, and what task 8 says."""
    return (
        one_line_or_works(lambda: resume(folder, path=path)),
        one_line_or_works(lambda: stream.load_model(path, task08_infinite.GPT, task08_infinite.Config)),
    )


READ_BY_TASK_8 = ("model_name", "config", "vocabulary", "model", "trial")


@pytest.mark.parametrize(
    ("part", "value"),
    all_and_some(VALUES, *READ_BY_TASK_8, "step", "text", "seed", "threads", "optimizers", "random"),
)
def test_parts_of_a_checkpoint(saved, tmp_path, part, value):
    state, folder = saved
    write(tmp_path / "run.pt", state | {part: VALUES[value]})
    resumed, written = both(folder, tmp_path / "run.pt")
    assert resumed or part == "threads"  # another number is only said
    assert written or part not in READ_BY_TASK_8


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sizes_in_a_checkpoint(saved, tmp_path, sizes):
    state, folder = saved
    write(tmp_path / "run.pt", state | {"config": state["config"] | sizes})
    resumed, written = both(folder, tmp_path / "run.pt")
    assert resumed or not sizes.keys() & SMALL.keys()
    assert written or "batch_size" in sizes


@pytest.mark.parametrize("value", VALUES)
def test_weights_and_optimizers_in_a_checkpoint(saved, tmp_path, value):
    for keys in (
        ("model", "lm_head.weight"),
        ("optimizers", 0),
        ("optimizers", 0, "state"),
        ("optimizers", 0, "param_groups"),
        ("optimizers", 0, "state", 0),
        ("optimizers", 0, "state", 0, "exp_avg"),
        ("random", "cpu"),
    ):
        state = copy.deepcopy(saved[0])
        part = state
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = VALUES[value]
        write(tmp_path / "run.pt", state)
        resumed, _ = both(saved[1], tmp_path / "run.pt")
        assert resumed, keys


@pytest.mark.parametrize("length", [0, 1, 4, 100, 1000, -1000, -100, -22, -1])
def test_a_checkpoint_cut_off(saved, tmp_path, length):
    whole = (saved[1] / "run.pt").read_bytes()
    (tmp_path / "run.pt").write_bytes(whole[:length])
    assert all(both(saved[1], tmp_path / "run.pt"))
