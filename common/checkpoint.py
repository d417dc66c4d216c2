"""Checkpoints that survive kill -9, that name their model, and that resume to the same digits."""

import contextlib
import io
import os
import secrets
import stat
import sys
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from common import parallel
from common.config import TrainingConfig
from common.data import Corpus
from common.files import replace
from common.mode import evaluation_mode
from common.progress import hint
from common.run import UserError

import torch
from torch import nn

FORMAT = "gpt-in-nine-steps 2"
LARGEST = 4 * 2**30  # bytes that a checkpoint may hold
TRIAL = 8  # tokens that a model reads to show what it computes
MODEL_PARTS = {"model_name": str, "step": int, "config": dict, "vocabulary": str, "model": dict}
RUN_PARTS = {"text": str, "seed": int, "threads": int, "trial": torch.Tensor, "optimizers": list, "random": dict}


def check_place(path: Path) -> None:
    """Raise UserError if `save` cannot write, or would replace a file that is not a checkpoint."""
    place = path.resolve()
    if place.exists():
        if not place.is_file():
            raise UserError(f"{path}: not a regular file; a checkpoint cannot be saved there")
        if place.stat().st_size:
            load(path)  # or say what is wrong with it
    _remove_leftovers(place)
    trial = _beside(place)
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise UserError(f"{path}: cannot save there: {error.strerror}") from error


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) to `path`, atomically.

    The bytes go to a temporary file next to it and to the disk before the file is renamed. So at any moment `path`
    holds the whole old checkpoint or the whole new one. Links are followed. Raises OSError if it cannot write.
    """
    place = path.resolve()
    file = _beside(place)
    try:
        whole = io.BytesIO()  # not the file itself: PyTorch has words of its own for a full disk
        torch.save({"format": FORMAT} | state, whole)
        with open(file, "xb") as stream:
            stream.write(whole.getbuffer())
            stream.flush()
            os.fsync(stream.fileno())
        replace(file, place)  # closed first: Windows moves no open file
    except BaseException:
        _remove(file)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the new name, too, is on the disk
        with contextlib.suppress(OSError):
            folder = os.open(place.parent, os.O_DIRECTORY)
            os.fsync(folder)
            os.close(folder)


def _beside(place: Path) -> Path:
    return place.with_name(f".{place.name}.{os.getpid()}-{secrets.token_hex(4)}.saving")


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()


def _remove_leftovers(place: Path) -> None:
    """Delete the temporary files that a killed run left next to a checkpoint."""
    for file in place.parent.glob(f".{place.name}.*.saving"):
        if os.name != "nt":  # there 0 is Ctrl-C, and an open file stays
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.name.split(".")[-2].split("-")[0]), 0)
                continue  # its process is alive
        _remove(file)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read what `save` wrote. It runs no code from the file (`weights_only=True`), and checks the file's checksums.

    Raises UserError for a file that is missing, truncated, damaged, or no checkpoint of this repository.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: not a regular file")
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > LARGEST:
                raise UserError(f"{path}: not a checkpoint: it holds more than {LARGEST // 2**30} GiB")
            damaged = archive.testzip()
        if damaged:
            raise UserError(f"{path}: damaged: the checksum of {damaged} is wrong")
        state = torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except UserError:
        raise
    except Exception as error:  # of the zip format, of the pickle in it, of PyTorch: whatever a damaged file leads to
        raise UserError(f"{path}: not a checkpoint, or an incomplete one") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UserError(f"{path}: not a checkpoint of these scripts, or of an earlier version of them")
    return state


def model_name(model: nn.Module) -> str:
    """The module that defines a model's class, as a checkpoint names it: "task09_rope", "record.speedrun"."""
    module = sys.modules[type(model).__module__]
    if module.__spec__ is not None:
        return module.__spec__.name
    return Path(module.__file__ or "").stem  # a script, `python task09_rope.py`


def save_model(path: Path, model: nn.Module, corpus: Corpus, config: Any, **more: Any) -> None:
    """Save a trained model, and more values of a run. Raises OSError as `save` does."""
    state = {
        "model_name": model_name(model),
        "step": config.max_steps,
        "config": asdict(config),
        "vocabulary": corpus.vocabulary,
        "model": model.state_dict(),
        "trial": _trial(model, min(TRIAL, config.block_size), len(corpus.vocabulary)),
    }
    save(path, state | more)


def save_run(
    path: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    corpus: Corpus,
    config: TrainingConfig,
    step: int,
    seed: int = 0,
) -> None:
    """Save all that a run needs to continue from `step` as if it had never stopped. Raises OSError as `save` does."""
    if parallel.rank():
        return
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        random["mps"] = torch.mps.get_rng_state()
    save_model(
        path,
        model,
        corpus,
        config,
        step=step,
        text=corpus.text_hash,
        seed=seed,
        threads=torch.get_num_threads(),
        optimizers=[optimizer.state_dict() for optimizer in optimizers],
        random=random,
    )


def restore_run(
    path: Path,
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    corpus: Corpus,
    config: TrainingConfig,
    seed: int = 0,
) -> int:
    """Restore what `save_run` wrote; returns the next step. Raises UserError if it is from another run."""
    state = load_model_state(path, model_name(model))
    if not state.keys() & (RUN_PARTS.keys() - {"trial"}):
        raise UserError(f"{path}: holds only weights, not a run to resume")
    _expect(path, state, RUN_PARTS)
    if state["vocabulary"] != corpus.vocabulary:
        raise UserError(f"{path}: saved with another text, which has other symbols")
    if state["text"] != corpus.text_hash:
        raise UserError(f"{path}: saved with another text, which has the same symbols")
    if state["seed"] != seed:
        raise UserError(f"{path}: saved with --seed {state['seed']}, but this run has {seed}")
    defaults = {field.name: field.default for field in fields(config)}
    for name, value in asdict(config).items():
        saved = state["config"].get(name, defaults[name])  # a field may be younger than the file
        if name != "max_steps" and saved != value:
            raise UserError(f"{path}: saved with {name} {saved}, but this run has {value}")
    if state["step"] > config.max_steps:
        raise UserError(f"{path}: has {state['step']} steps already, but this run has --steps {config.max_steps}")
    put_weights(path, model, state)
    try:
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            _check_optimizer(optimizer, saved, state["step"])
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state["random"]["cpu"].cpu())
        if "cuda" in state["random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["random"]["cuda"].cpu())
        if "mps" in state["random"] and torch.backends.mps.is_available():
            torch.mps.set_rng_state(state["random"]["mps"].cpu())
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, IndexError) as error:
        raise UserError(f"{path}: its optimizer or random numbers are another model's") from error
    if state["threads"] != torch.get_num_threads():
        hint(f"Saved with --threads {state['threads']}: with another number the digits may differ.")
    hint(f"Resumed {path} at step {state['step']}.")
    return state["step"]


def _check_optimizer(optimizer: torch.optim.Optimizer, saved: dict, step: int) -> None:
    """Raise ValueError if a saved state does not fit this optimizer's parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = saved["state"]
    if states.keys() != (set(range(len(parameters))) if step else set()):
        raise ValueError("other parameters")
    for index, parameter in enumerate(parameters if step else []):
        if states[index].keys() != states[0].keys() or not states[0]:
            raise ValueError("a part of the state is missing")
        for name, value in states[index].items():
            if value.shape != (() if name == "step" else parameter.shape) or not value.isfinite().all():
                raise ValueError("another shape, or numbers that are not finite")


def put_weights(path: Path, model: nn.Module, state: dict[str, Any]) -> None:
    """Load the weights of a checkpoint.

    Raises UserError if names, shapes or numbers do not fit the model, or if the model computes something else with
    them than the saved model did (for example, if ReLU became GELU).
    """
    weights, own = state["model"], model.state_dict()
    if not isinstance(weights, dict) or weights.keys() != own.keys():
        raise UserError(f"{path}: its parameters are not those of {model_name(model)}")
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor) or value.shape != own[name].shape:
            shape = tuple(getattr(value, "shape", ()))
            raise UserError(f"{path}: {name} has shape {shape}, but this model's has {tuple(own[name].shape)}")
        if not value.is_floating_point() or not value.isfinite().all():
            raise UserError(f"{path}: {name} holds numbers that are not finite")
    model.load_state_dict(weights)
    if "trial" in state:
        logits = state["trial"]  # (T, V)
        try:
            off = (_trial(model, *logits.shape) - logits).abs().max() / (1 + logits.abs().max())
        except (TypeError, AttributeError, RuntimeError) as error:
            raise UserError(f"{path}: an incomplete checkpoint: trial is unreadable") from error
        if not off < 1e-3:
            raise UserError(f"{path}: weights of another model: {model_name(model)} computes something else with them")


@torch.no_grad()
def _trial(model: nn.Module, T: int, V: int) -> torch.Tensor:
    """The logits (T, V) of a fixed row of tokens: what tells apart models whose parameters have the same names."""
    with evaluation_mode(model):
        return model(torch.arange(T, device=next(model.parameters()).device)[None] % V)[0].float().cpu()


def load_model_state(path: Path, *names: str) -> dict[str, Any]:
    """A checkpoint of a model with one of these names (see `model_name`).

    Keys: model_name, step, config, vocabulary, model (a state dict), and what `restore_run` needs.
    Raises UserError where `load` does, and for a checkpoint of another model, or without one of these keys.
    """
    state = load(path)
    _expect(path, state, MODEL_PARTS)
    if state["model_name"] not in names:
        raise UserError(f"{path}: holds a model of {state['model_name']}, not of {' or '.join(names)}")
    if state["step"] < 0 or not state["vocabulary"]:
        raise UserError(f"{path}: not a checkpoint: step {state['step']}, vocabulary {state['vocabulary']!r}")
    return state


def _expect(path: Path, state: dict[str, Any], parts: dict[str, type]) -> None:
    """Raise UserError if a part of a checkpoint is missing, or has another type."""
    for name, kind in parts.items():
        if name not in state:
            raise UserError(f"{path}: an incomplete checkpoint: {name} is missing")
        if not isinstance(state[name], kind):
            raise UserError(f"{path}: not a checkpoint: {name} is not a {kind.__name__}")
