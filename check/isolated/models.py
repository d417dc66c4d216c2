"""What is known of a learner's classes and of what they return."""

import copy
import dataclasses
import inspect
from typing import Any

import torch
from torch import nn

TARGETS = ("targets", "target", "labels", "y", "yb")


def learns(module: nn.Module) -> bool:
    """Whether a layer learns, or behaves otherwise in training."""
    return any(True for _ in module.parameters()) or any(isinstance(each, nn.Dropout) for each in module.modules())


def like_gpt(value: Any, module: str) -> bool:
    """Whether a name is a class of the file that could be its whole model."""
    return (
        inspect.isclass(value)
        and issubclass(value, nn.Module)
        and value.__module__ == module
        and (hasattr(value, "generate") or "vocab_size" in inspect.signature(value).parameters)
    )


def fields_of(config: Any) -> list[str]:
    """The sizes that a Config has: arguments, attributes or keys; of one that takes any, those of the tasks."""
    if isinstance(config, dict):
        return list(config)
    if dataclasses.is_dataclass(config):
        return [field.name for field in dataclasses.fields(config)]
    parameters = inspect.signature(config).parameters if callable(config) else {}
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return ["n_embd", "block_size", "n_layer", "dropout", "n_head", "head_size", *parameters]
    return [*parameters, *(name for name in dir(config) if not name.startswith("_"))]


def configured(config: Any, sizes: dict) -> Any:
    """A Config of these sizes, of those that it has: a class, a function, a dict or an object."""
    if isinstance(config, dict):
        return config | {name: value for name, value in sizes.items() if name in config}
    taken = inspect.signature(config).parameters if callable(config) else {}
    any_name = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values())
    given = {name: value for name, value in sizes.items() if any_name or name in taken}
    made = config(**given) if callable(config) else copy.copy(config)
    for name, value in sizes.items():
        if name not in taken and hasattr(made, name):
            setattr(made, name, value)
    return made


def targets_of(network: nn.Module) -> str:
    parameters = list(inspect.signature(network.forward).parameters)
    return next((name for name in parameters[1:] if name in TARGETS), "")


def logits_of(output: Any) -> torch.Tensor:
    """The logits that forward returns: alone, with a loss, as the attribute or under the key `logits`."""
    found = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", output)
    if isinstance(found, tuple | list):
        found = next((part for part in found if isinstance(part, torch.Tensor) and part.ndim > 1), found)
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"forward returns {type(output).__name__}, not a tensor of logits")
    return found
