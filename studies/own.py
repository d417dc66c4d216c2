"""Your own model in a study: a file that the check accepts as `transformer`, `gpt`, or a task."""

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import Any

from common.courses import find_classes, make, needs_targets
from common.run import UserError

import torch
from torch import nn


class Own(nn.Module):
    """A model of a file of yours. Tokens (B, T) → logits (B, T, V), whatever else its forward takes and returns."""

    def __init__(self, model: nn.Module, block_size: int):
        super().__init__()
        self.model, self.block_size = model, block_size
        self.with_targets = needs_targets(model)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        output = self.model(tokens, tokens) if self.with_targets else self.model(tokens)
        if isinstance(output, tuple | list):
            return next(part for part in output if isinstance(part, torch.Tensor) and part.ndim == 3)
        return output


def load(path: Path, config: Any, vocab_size: int) -> Own:
    """A new model of the file, in the sizes of a config (block_size, n_embd, n_layer, n_head, dropout).

    The file defines GPT(config, vocab_size) and Config, as the lessons do, or a class with a course's arguments.
    Raises UserError where it does neither.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location("own_model", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: expected a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["own_model"] = module
    spec.loader.exec_module(module)
    sizes = {name: getattr(config, name) for name in ("block_size", "n_embd", "n_layer", "n_head", "dropout")}
    if hasattr(module, "Config") and hasattr(module, "GPT"):
        known = inspect.signature(module.Config).parameters
        own_config = module.Config(**{name: value for name, value in sizes.items() if name in known})
        return Own(module.GPT(own_config, vocab_size), config.block_size)
    names = find_classes(module, "transformer")
    if not names:
        raise UserError(f"{path}: defines no Transformer or GPT")
    sizes |= {"vocab_size": vocab_size, "context_size": sizes["block_size"], "hidden_size": sizes["n_embd"]}
    return Own(make(getattr(module, names[0]), "transformer", sizes), config.block_size)
