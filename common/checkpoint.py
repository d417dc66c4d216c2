"""Checkpoints that survive kill -9, and that resume to the same digits."""

import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import torch

from common.exits import UserError

FORMAT = "gpt-in-nine-steps 1"


def save(path: Path, state: dict) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) to `path`, atomically.

    The bytes go to a temporary file beside it and to the disk before the name is moved over, so that
    at any moment `path` holds the old checkpoint or the new one, whole. Raises UserError where it
    cannot be written.
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


def load(path: Path, device: torch.device | str = "cpu") -> dict:
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
        raise UserError(f"{path}: not a checkpoint of these scripts")
    return state
