"""Checkpoints that survive kill -9, that name their model, and that resume to the same digits."""

import os
import pickle
import sys
import tempfile
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from common import parallel
from common.config import TrainingConfig
from common.data import Corpus
from common.progress import hint
from common.run import UserError

FORMAT = "gpt-in-nine-steps 2"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) to `path`, atomically.

    The bytes go to a temporary file beside it and to the disk before the name is moved over, so that at any moment
    `path` holds the old checkpoint or the new one, whole. Raises UserError where it cannot be written.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                torch.save({"format": FORMAT} | state, file)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path}: cannot save there: {error}") from error


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what `save` wrote. It runs no code from the file (`weights_only=True`).

    Raises UserError for a file that is missing, truncated, or no checkpoint of this repository.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UserError(f"{path}: not a checkpoint, or not all of one") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of these scripts, or of an earlier version of them")
    return state


def model_name(model: nn.Module) -> str:
    """The module that defines a model's class, as a checkpoint names it: "task09_rope", "studies.speedrun"."""
    module = sys.modules[type(model).__module__]
    if module.__spec__ is not None:
        return module.__spec__.name
    return Path(module.__file__ or "").stem  # a script, `python task09_rope.py`


def save_run(
    path: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    corpus: Corpus,
    config: TrainingConfig,
    step: int,
) -> None:
    """Write all that a run needs to go on from `step` as if it had never stopped."""
    if parallel.rank():
        return
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    state = {
        "model_name": model_name(model),
        "step": step,
        "config": asdict(config),
        "vocabulary": corpus.vocabulary,
        "characters": len(corpus.splits["train"]),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "random": random,
    }
    save(path, state)


def restore_run(
    path: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    corpus: Corpus,
    config: TrainingConfig,
) -> int:
    """Put back what `save_run` wrote; the step to go on with. Raises UserError where it is another run's."""
    state = load_model_state(path, model_name(model))
    if state["vocabulary"] != corpus.vocabulary:
        raise UserError(f"{path}: saved with another text, of other symbols")
    characters = len(corpus.splits["train"])
    if state["characters"] != characters:
        raise UserError(f"{path}: learnt from {state['characters']} characters, but this run has {characters}")
    defaults = {field.name: field.default for field in fields(config)}
    for name, value in asdict(config).items():
        saved = state["config"].get(name, defaults[name])  # a field may be younger than the file
        if name != "max_steps" and saved != value:
            raise UserError(f"{path}: saved with {name} {saved}, but this run has {value}")
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    torch.set_rng_state(state["random"]["cpu"].cpu())
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random"]["cuda"].cpu())
    hint(f"resumed {path} at step {state['step']}")
    return state["step"]


def load_model_state(path: Path, name: str) -> dict[str, Any]:
    """A checkpoint of the model that is so named (see `model_name`).

    Keys: model_name, step, config, vocabulary, model (a state dict), and what `restore_run` needs.
    Raises UserError where `load` does, and for a checkpoint of another model.
    """
    state = load(path)
    if state.get("model_name") != name:
        raise UserError(f"{path}: holds a model of {state.get('model_name', 'no script')}, not of {name}")
    return state
