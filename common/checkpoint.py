"""Checkpoints that survive kill -9, that name their model, and that resume to the same digits."""

import contextlib
import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any

from common import parallel
from common.data import Corpus
from common.files import replace
from common.mode import evaluation_mode
from common.progress import hint
from common.run import UserError

import torch
from torch import nn
from torch.optim import Optimizer

FORMAT = "gpt-in-nine-steps 2"
TRIAL = 8  # tokens that a model reads to show what it computes
DEVICES = {"cuda": torch.cuda, "mps": torch.mps}
GENERATORS = {"cpu": torch.random} | {name: device for name, device in DEVICES.items() if device.device_count()}


def check_place(path: Path, resumed: Path | None, remedy: str) -> None:
    """Raise UserError if `save` cannot write, or would replace a file other than the checkpoint that is resumed."""
    place = path.resolve()
    if place.exists() and not (resumed and resumed.resolve() == place):
        load(path)  # or say what is wrong with it
        raise UserError(f"{path}: a checkpoint is there already; {remedy}, or save elsewhere")
    try:
        for left_by_killed_run in place.parent.glob(f".{place.name}.*.saving"):
            left_by_killed_run.unlink()
        tempfile.TemporaryFile(dir=place.parent).close()
    except OSError as error:
        raise UserError(f"{path}: cannot save there: {error.strerror}") from error


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) to `path`, atomically.

    The bytes go to a temporary file next to it and to the disk before the file is renamed. So at any moment `path`
    holds the whole old checkpoint or the whole new one. Links are followed. Raises OSError if it cannot write.
    """
    place = path.resolve()
    file = place.with_name(f".{place.name}.{os.getpid()}.saving")
    whole = io.BytesIO()  # not the file itself: PyTorch has words of its own for a full disk
    torch.save({"format": FORMAT} | state, whole)
    try:
        with open(file, "wb") as stream:
            stream.write(whole.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        replace(file, place)  # closed first: Windows moves no open file
    finally:
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Inside, an error is one line that begins with the path: whatever reading a damaged or foreign file leads to."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: " + str(error).removeprefix(f"{path}: ")) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: not a checkpoint, or an incomplete one") from error
    except KeyError as error:
        raise UserError(f"{path}: {error} is missing") from error
    except Exception as error:
        reason = shorten(f"{type(error).__name__}: {error}", 200)
        raise UserError(f"{path}: not a checkpoint of this model ({reason})") from error


def load(path: Path, *names: str) -> dict[str, Any]:
    """Read what `save` wrote. It runs no code from the file (`weights_only=True`), and checks the file's checksums.

    Raises UserError for a file that is missing, truncated, damaged, or no checkpoint of this repository; if names are
    given, also for a checkpoint of a model with none of these names (see `model_name`).
    """
    with naming(path):
        if path.exists() and not path.is_file():
            raise UserError("not a regular file")
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise UserError(f"damaged: the checksum of {damaged} is wrong")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise UserError("not a checkpoint of these scripts, or of an earlier version of them")
        if names and state["model_name"] not in names:
            held = shorten(str(state["model_name"]), 40)
            raise UserError(f"holds a model of {held}, not of {' or '.join(names)}")
        return state


def model_name(model: nn.Module) -> str:
    """The module that defines a model's class, as a checkpoint names it: "task09_rope", "record.speedrun"."""
    module = sys.modules[type(model).__module__]
    return module.__spec__.name if module.__spec__ else Path(module.__file__ or "").stem  # `python task09_rope.py`


def save_run(
    path: Path, model: nn.Module, optimizers: list[Optimizer], corpus: Corpus, config: Any, step: int, seed: int = 0
) -> None:
    """Save all that a run needs to continue from `step` as if it had never stopped. Raises OSError as `save` does."""
    state = {
        "model_name": model_name(model),
        "step": step,
        "config": asdict(config),
        "vocabulary": corpus.vocabulary,
        "model": model.state_dict(),
        "trial": _trial(model, min(TRIAL, config.block_size), len(corpus.vocabulary)),
        "text": corpus.text_hash,
        "seed": seed,
        "threads": torch.get_num_threads(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "random": {name: generator.get_rng_state() for name, generator in GENERATORS.items()},
    }
    if parallel.rank() == 0:
        save(path, state)


def restore_run(
    path: Path, model: nn.Module, optimizers: list[Optimizer], corpus: Corpus, config: Any, seed: int = 0
) -> int:
    """Restore what `save_run` wrote; returns the next step. Raises UserError if it is from another run."""
    with naming(path):
        state = load(path, model_name(model))
        if "optimizers" not in state:
            raise UserError("holds only weights, without optimizers: not a run to resume")
        if (state["text"], state["vocabulary"]) != (corpus.text_hash, corpus.vocabulary):
            symbols = "the same" if state["vocabulary"] == corpus.vocabulary else "other"
            raise UserError(f"saved with another text, which has {symbols} symbols")
        theirs = asdict(type(config)()) | state["config"] | {"--seed": state["seed"]}  # a field may be younger
        for name, value in (asdict(config) | {"--seed": seed}).items():
            if name != "max_steps" and theirs[name] != value:
                raise UserError(f"saved with {name} {theirs[name]}, but this run has {value}")
        if not 0 <= state["step"] <= config.max_steps:
            raise UserError(f"has {state['step']} steps already, but this run has --steps {config.max_steps}")
        put_weights(path, model, state)
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
            _check_optimizer(optimizer, state["step"])
        for name, generator in GENERATORS.items():
            if name == "cpu" or name in state["random"]:
                generator.set_rng_state(state["random"][name].cpu())
        if state["threads"] != torch.get_num_threads():
            hint(f"Saved with --threads {state['threads']}: with another number the digits may differ.")
    hint(f"Resumed {path} at step {state['step']}.")
    return state["step"]


def _check_optimizer(optimizer: Optimizer, step: int) -> None:
    """Raise ValueError if a restored state does not fit the optimizer's parameters."""
    states = {p: optimizer.state.get(p, {}) for group in optimizer.param_groups for p in group["params"]}
    if len({frozenset(state) for state in states.values()}) != 1 or any(states.values()) != bool(step):
        raise ValueError("a part of the optimizer's state is missing")
    for p, state in states.items():
        for name, value in state.items():
            if value.shape != (() if name == "step" else p.shape) or not value.isfinite().all():
                raise ValueError(f"the optimizer's {name} has another shape, or is not finite")


def put_weights(path: Path, model: nn.Module, state: dict[str, Any]) -> None:
    """Load the weights of a checkpoint.

    Raises UserError if names, shapes or numbers do not fit the model, or if the model computes something else with
    them than the saved model did (for example, if ReLU became GELU).
    """
    with naming(path):
        model.load_state_dict(state["model"])
        if not all(parameter.isfinite().all() for parameter in model.parameters()):
            raise UserError("its weights are not finite")
        if "trial" in state:
            logits = state["trial"]  # (T, V)
            if not _trial(model, *logits.shape).allclose(logits, rtol=1e-3, atol=1e-3):
                this = model_name(model)
                raise UserError(f"weights of another model: {this} computes something else with them")


@torch.no_grad()
def _trial(model: nn.Module, T: int, V: int) -> torch.Tensor:
    """The logits (T, V) of a fixed row of tokens: what tells apart models whose parameters have the same names."""
    with evaluation_mode(model):
        return model(torch.arange(T, device=next(model.parameters()).device)[None] % V)[0].float().cpu()
