"""What is known of a learner's classes and what they return; and what takes the place of a model, optimizer or loss."""

import copy
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

from common.courses import ARGUMENTS

import torch
from torch import nn
from torch.nn import functional as F

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


def class_of(module: nn.Module) -> str:
    """The name of a module's class; "own …" where it has the name of one of PyTorch's without being one."""
    name = type(module).__name__
    is_own = hasattr(nn, name) and not isinstance(module, getattr(nn, name))
    return f"own {name}" if is_own else name


# Stand-ins, with which the check calls a learner's functions


class Layers(nn.Module):
    """Parameters of one, two and three axes, one of them shared by two layers, one bare."""

    def __init__(self, V: int, C: int, H: int, D: int, **_: int):
        super().__init__()
        self.embedding = nn.Embedding(V, C)
        self.heads = nn.Parameter(torch.ones(H, C, D))
        self.gain = nn.Parameter(torch.ones(C))
        self.norm = nn.LayerNorm(C)
        self.output = nn.Linear(C, V)
        self.output.weight = self.embedding.weight


class Table(nn.Module):
    """Logits (N, T, V) from a table, and their mean cross-entropy."""

    def __init__(self, V: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(V, V))

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None, targets: torch.Tensor | None = None) -> Any:
        logits, y = self.table[x], targets if y is None else y  # (N, T, V)
        return logits, None if y is None else F.cross_entropy(logits.flatten(0, 1), y.flatten())


class Noted(torch.optim.SGD):
    """Plain SGD that notes each step: the gradient, the learning rates, the mode of the model."""

    def __init__(self, model: Table, events: list):
        groups = [{"params": [model.table]}, {"params": [nn.Parameter(torch.zeros(1))]}]
        super().__init__(groups, lr=1e-9)
        self.model, self.events = model, events

    def step(self, closure: Any = None) -> Any:
        gradient = self.model.table.grad
        rates = [float(group["lr"]) for group in self.param_groups]
        value = torch.zeros_like(self.model.table) if gradient is None else gradient.clone()
        self.events.append({"kind": "step", "training": self.model.training, "lr": rates, "gradient": value})
        return super().step(closure)


class Seen:
    """How a model was called: its tokens, its mode, whether gradients were kept."""

    def __init__(self) -> None:
        self.calls: list[torch.Tensor] = []
        self.modes: list[bool] = []
        self.gradients: list[bool] = []

    def note(self, model: nn.Module, *tokens: torch.Tensor) -> None:
        self.calls += [each.clone() for each in tokens]
        self.modes.append(model.training)
        self.gradients.append(torch.is_grad_enabled())

    def told(self, text: Any, model: nn.Module) -> dict:
        """The text of generate, the calls, the mode afterwards, and the next random number."""
        found = {"text": text, "calls": self.calls, "training": model.training, "next": torch.rand(2)}
        return found | {"trained": any(self.modes), "gradients": any(self.gradients)}


class Predictor(nn.Module):
    """Logits (B, T, V) that depend on all tokens so far, alone or with a loss; notes how it is called."""

    def __init__(self, table: torch.Tensor, block_size: int, with_tuple: bool = False):
        super().__init__()
        for name in f"context_size {ARGUMENTS['context_size']}".split():
            setattr(self, name, block_size)
        self.with_tuple = with_tuple
        self.table = nn.Parameter(table)
        self.seen = Seen()

    def forward(self, tokens: torch.Tensor, *targets: Any, **more: Any) -> Any:
        return self.of(self, tokens)

    def of(self, model: nn.Module, tokens: torch.Tensor, *targets: Any, **more: Any) -> Any:
        """The logits, called as this model or as another that has its place."""
        self.seen.note(model, tokens)
        rows = self.table[tokens]  # (B, T, V)
        logits = rows + rows.cumsum(dim=1) / 2
        return (logits, None) if self.with_tuple else logits


class Loss(float):
    """A validation loss in any form that estimate_loss has: a number, a dict by split, or a pair."""

    def __getitem__(self, split: Any) -> "Loss":
        return self

    def __iter__(self) -> Iterator["Loss"]:
        return iter((self, self))

    def item(self) -> float:
        return float(self)


def first(output: Any) -> Any:
    """The output, also where it is a pair of output and attention weights."""
    return output[0] if isinstance(output, tuple | list) and output else output


class Reader(nn.Module):
    """A model that reads with one module: token and position embeddings, the module, an output layer."""

    def __init__(self, module: nn.Module, sizes: dict):
        super().__init__()
        self.token_embedding = nn.Embedding(sizes["vocab_size"], sizes["hidden_size"])
        self.position_embedding = nn.Embedding(sizes["context_size"], sizes["hidden_size"])
        self.module = module
        self.lm_head = nn.Linear(sizes["hidden_size"], sizes["vocab_size"])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]  # (B, T, C)
        return self.lm_head(first(self.module(x)))  # (B, T, V)
