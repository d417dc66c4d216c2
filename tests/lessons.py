"""What the tests know of the nine lessons: their files, the logs that the course documents, files to hand in."""

import dataclasses
import functools
import json
import re
import subprocess
import sys
import threading
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path

import task07
import task09_rope
from common import options, train
from common.config import LAPTOP
from common.run import UserError
from exercises import build
from page.server import Server
from tools.styles import in_styles

import torch

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "logs"
DOCUMENTED = json.loads((LOGS / "documented.json").read_text())
TASKS = sorted(path.stem for path in ROOT.glob("task0*.py"))
CORE = [name for name in TASKS if name <= "task06"]  # those whose documented runs a test repeats

# A text and a preset for runs of a second.
TEXT = "To be, or not to be, that is the question:\n" * 25
SMALL = LAPTOP | {"batch_size": 4, "block_size": 16, "n_embd": 24, "n_head": 3, "n_layer": 2, "max_steps": 6}
SMALL |= {"eval_interval": 100, "whole_split": False, "eval_batches": 1}
CONFIG = dataclasses.replace(task07.Config(), **SMALL)

LINE = re.compile(r"Epoch (\d+): avg train loss (\d+\.\d{4}) \| avg val loss (\d+\.\d{4})")


def parse_log(text):
    """The documented part of a run's stdout → [epoch, train loss, val loss] a line."""
    head, blank, _ = text.partition("\n\n")
    assert blank, f"no blank line after the log:\n{text}"
    matches = [LINE.fullmatch(line) for line in head.split("\n")]
    assert all(matches), f"not the documented format:\n{head}"
    return [[int(epoch), float(train), float(val)] for epoch, train, val in (match.groups() for match in matches)]


def full_run(name, threads):
    """stdout of the documented run, as a user starts it."""
    command = [sys.executable, f"{name}.py", "--device", "cpu", "--threads", str(threads)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    return parse_log(result.stdout)


def learn(corpus, config=CONFIG, model_class=task07.GPT, seed=42, **flags):
    """A small model after a short run."""
    torch.manual_seed(seed)
    model = model_class(config, len(corpus.vocabulary))
    flags = {"save": None, "save_every": 2, "resume": None} | flags
    train.train(model, corpus, config, Namespace(device=torch.device("cpu"), seed=seed, **flags))
    return model


def launch(monkeypatch, script, *flags, sizes=SMALL):
    """A script as its user starts it, with a small preset for tasks 7 and 9."""
    for module in (task07, task09_rope):
        small = functools.partial(options.parse_options, presets={"laptop": sizes})
        monkeypatch.setattr(module, "parse_options", small)
    monkeypatch.setattr(sys, "argv", [f"{script.__name__}.py", *map(str, flags)])
    return script.main()


def lively(model, std=None):
    """Far from equal probabilities, so that a wrong context shows; in evaluation mode."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std or (0.5 if parameter.ndim == 2 else 1.0))
    return model.eval()


@contextmanager
def serving(*given):
    """The page's server, on a port that is free."""
    with Server(0, *given) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def complaint(action, *arguments):
    """Call; the one line that is wrong with the arguments, or an empty text."""
    try:
        action(*arguments)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) < 500, str(error)
        return str(error)
    return ""


MINE = "# mine\n"


def right(task):
    """A right file that is not the official one."""
    return in_styles(task, build.source(task))["renamed"]


def cells(*sources):
    """The text of a notebook."""
    return json.dumps({"cells": [{"cell_type": "code", "source": source} for source in sources]})


def hand_in(folder, files):
    """Write files: name → text or bytes."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
