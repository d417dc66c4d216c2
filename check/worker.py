"""The questions that a learner's process answers, on the learner's module and the models built from it."""

import bdb
import copy
import dataclasses
import inspect
import linecache
import re
import traceback
from pathlib import Path
from typing import Any

from check.loading import OURS, Trained, cells_of, load
from check.notebook import CELL
from common.courses import ARGUMENTS, CLASSES, ORDER, WHOLE, find_class, make, needs_targets

import torch
from torch import nn
from torch.nn import functional as F

TARGETS = ("targets", "target", "labels", "y", "yb")
MOST_LOCALS = 12  # shapes shown of a failing line


class Learner:
    """The learner's module, and the models that were built from it. Its methods are the questions."""

    def __init__(self, path: Path, package: str = "", paths: tuple[str, ...] = ()):
        self.path, self.package, self.paths = path, package, paths
        self.module: Any = None
        self.models: list[Any] = []
        self.with_targets = False  # whether forward takes tokens and targets
        self.with_tuple: bool | None = None  # whether generate unpacks (logits, loss)

    def load(self) -> dict:
        """Import the file; its names, the fields of its Config, classes like a GPT, what of a notebook was left out."""
        self.module, left_out = load(self.path, self.package, self.paths)
        names = [name for name in vars(self.module) if not name.startswith("_")]
        config = getattr(self.module, "Config", None)
        return {
            "names": names,
            "fields": None if config is None else _fields(config),
            "like_gpt": [name for name in names if _like_gpt(getattr(self.module, name), self.module.__name__)],
            "left_out": left_out,
        }

    def signature(self, function: str, arguments: list, keywords: dict) -> str:
        """ "", or why a call with these arguments is impossible."""
        try:
            inspect.signature(self._find(function)).bind(*arguments, **keywords)
        except TypeError as error:
            return str(error)
        return ""

    def has(self, function: str) -> bool:
        return self._find(function) is not None

    def build(self, sizes: dict, vocab_size: int, seed: int, piece: str = "") -> dict:
        """A GPT; its number, its parameters (name, kind of their module) and their first values."""
        torch.manual_seed(seed)
        if piece:
            model = self._piece(piece, sizes | {"vocab_size": vocab_size})
        else:
            model = self.module.GPT(_configured(self.module.Config, sizes), vocab_size)
        self.models.append(model)
        owners = {
            id(parameter): type(module).__name__
            for module in model.modules()
            for parameter in module.parameters(recurse=False)
        }
        named = list(model.named_parameters())
        return {
            "model": len(self.models) - 1,
            "names": [name for name, _ in named],
            "owners": [owners[id(parameter)] for _, parameter in named],
            "values": [parameter for _, parameter in named],
        }

    def unregistered(self, model: int) -> list[str]:
        """Lists and dicts of layers that are no part of the model: PyTorch does not look into Python's own."""
        network = self.models[model]
        known, found = {id(module) for module in network.modules()}, []
        for path, module in network.named_modules():
            for name, value in vars(module).items():
                items = value.values() if isinstance(value, dict) else value
                if name.startswith("_") or not isinstance(value, list | tuple | dict):
                    continue
                if any(isinstance(item, nn.Module) and id(item) not in known and _matters(item) for item in items):
                    found.append(f"{path}.{name}".removeprefix("."))
        return found

    def _piece(self, piece: str, sizes: dict) -> nn.Module:
        """The learner's GPT with its course's arguments, or a model that reads with a module of the learner's."""
        kind = self.piece_class(piece)
        if kind is None:
            raise AttributeError(f"no class {CLASSES[piece][0]}")
        made = make(getattr(self.module, kind), ORDER[piece], sizes)
        if piece in WHOLE:
            self.with_targets = piece == "gpt" or needs_targets(made)
            return made
        return Reader(made, sizes)

    def piece_class(self, piece: str) -> str | None:
        """The name of the class that is a piece."""
        return find_class(self.module, piece)

    def piece_takes(self, piece: str) -> list[str]:
        """Which of the arguments that a piece may have its class takes."""
        taken = inspect.signature(getattr(self.module, self.piece_class(piece) or "")).parameters
        return [name for name, others in ARGUMENTS.items() if taken.keys() & {name, *others}]

    def module_output(self, model: int, x: torch.Tensor) -> Any:
        """What the module of a Reader gives for vectors."""
        with torch.no_grad():
            return self.models[model].eval().module(x)

    def takes_targets(self, model: int) -> bool:
        """Whether forward can be given targets as well, under a name that says so."""
        parameters = list(inspect.signature(self.models[model].forward).parameters.values())
        return len(parameters) > 1 and parameters[1].name in TARGETS

    def loss(self, model: int, tokens: torch.Tensor, targets: torch.Tensor) -> Any:
        """What forward(x, y) returns, as a list of tensors and None."""
        with torch.no_grad():
            output = self.models[model].eval()(tokens, targets)
        return list(output) if isinstance(output, tuple | list) else output

    def learn_reversal(self, model: int, symbols: int, length: int, steps: int, seed: int) -> None:
        """Train on random symbols, each row followed by its own reverse."""
        network = self.models[model].train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        torch.manual_seed(seed)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 3e-3 * min(1.0, (step + 1) / 50, 2 * (steps - step) / steps)
            first = torch.randint(symbols, (64, length))
            rows = torch.cat([first, first.flip(1)], dim=1)  # (B, T + 1)
            logits = _logits(self._forward(network, rows[:, :-1]))
            optimizer.zero_grad()
            F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).backward()
            optimizer.step()

    def fill(self, model: int, values: list) -> None:
        """Give the parameters these values."""
        with torch.no_grad():
            for parameter, value in zip(self.models[model].parameters(), values, strict=True):
                parameter.copy_(value)

    def logits(self, model: int, tokens: torch.Tensor, training: bool = False) -> dict:
        """Logits, and whether they can be told from the same call again."""
        network = self.models[model].train(training)
        with torch.no_grad():
            return {"logits": _logits(self._forward(network, tokens))}

    def _forward(self, network: nn.Module, tokens: torch.Tensor) -> Any:
        return network(tokens, tokens) if self.with_targets else network(tokens)

    def gradients(self, model: int, tokens: torch.Tensor, targets: torch.Tensor) -> dict:
        """The loss, and the gradient of each parameter (or None)."""
        network = self.models[model].train()
        network.zero_grad(set_to_none=True)
        loss = F.cross_entropy(_logits(self._forward(network, tokens)).flatten(0, 1), targets.flatten())
        loss.backward()
        return {"loss": loss.item(), "gradients": [parameter.grad for parameter in network.parameters()]}

    def official_weights(self, model: int) -> dict | None:
        """What the learner's hook of that name gives: official name → tensor."""
        hook = getattr(self.module, "official_weights", None)
        return None if hook is None else dict(hook(self.models[model]))

    def generate(
        self, model: int, tokens: torch.Tensor, count: int, temperature: float, seed: int, training: bool
    ) -> dict:
        """The text, the mode afterwards, whether it keeps gradients, and the next random number."""
        network = self.models[model].train(training)
        modes, gradients = [], []

        def note(*_: Any) -> None:
            modes.append(network.training)
            gradients.append(torch.is_grad_enabled())

        watch = network.register_forward_pre_hook(note)
        torch.manual_seed(seed)
        try:
            text = network.generate(tokens, count, temperature=temperature)
        finally:
            watch.remove()
        return {
            "text": text,
            "training": network.training,
            "trained": any(modes),
            "gradients": any(gradients),
            "called": len(modes),
            "next": torch.rand(2),
        }

    def call(self, function: str, arguments: list) -> dict:
        """What a function of the file (or a method of its GPT) returns, and its arguments afterwards."""
        value = self._find(function)(*arguments)
        tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
        return {"value": tensor, "requires_grad": tensor.requires_grad, "arguments": arguments}

    def call_many(self, function: str, calls: list) -> list:
        """Numbers that a function returns."""
        return [float(self._find(function)(*arguments)) for arguments in calls]

    def call_gradients(self, function: str, arguments: list, learned: int) -> list:
        """The gradients of the first `learned` arguments, of the sum of squares of what a function returns."""
        leaves = [argument.requires_grad_() for argument in arguments[:learned]]
        self._find(function)(*leaves, *arguments[learned:]).square().sum().backward()
        return [leaf.grad for leaf in leaves]

    def optimizer(self, arguments: list, model_sizes: dict) -> dict:
        """The groups of configure_optimizers for a model with parameters of one, two and three axes."""
        model = Layers(**model_sizes)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        weight_decay, learning_rate, betas = arguments
        optimizer = self._find("configure_optimizers")(model, weight_decay, learning_rate, tuple(betas))
        groups = [
            {
                "names": [names.get(id(parameter)) for parameter in group["params"]],
                "weight_decay": group["weight_decay"],
                "lr": float(group["lr"]),
                "betas": list(group.get("betas", ())),
            }
            for group in optimizer.param_groups
        ]
        return {"kind": type(optimizer).__name__, "adamw": isinstance(optimizer, torch.optim.AdamW), "groups": groups}

    def train(self, batches: list, rates: list, losses: list, settings: list, grad_clip: float) -> list[dict]:
        """What the learner's training loop does with a table of logits, in order: batches, steps, evaluations, logs."""
        events: list[dict] = []
        model, rows, answers = Table(V=8), iter(batches), iter(losses)
        optimizer = Noted(model, events)

        def note(kind: str, **more: Any) -> None:
            events.append({"kind": kind, "training": model.training, **more})

        def get_batch() -> Any:
            note("batch")
            return tuple(next(rows))

        def estimate_loss(network: Any) -> float:
            note("evaluation")
            return next(answers)

        def log(n: int, loss: float, rate: float) -> None:
            note("log", n=int(n), loss=float(loss), lr=float(rate))

        def save(n: int, loss: float) -> None:
            note("save", n=int(n), loss=float(loss))

        max_iters, eval_iters, log_interval, accumulation = settings
        limits = max_iters, eval_iters, log_interval, grad_clip, accumulation
        self._find("train")(model, optimizer, get_batch, rates.__getitem__, estimate_loss, *limits, log, save)
        return events

    def predictor(
        self,
        table: torch.Tensor,
        block_size: int,
        tokens: torch.Tensor,
        count: int,
        temperature: float,
        seed: int,
        training: bool,
    ) -> dict:
        """generate() with a model whose logits are known; the text and how the model was called."""
        if self.with_tuple is None:
            self.with_tuple = self._unpacks(table, block_size, len(tokens))
        model = Predictor(table, block_size, self.with_tuple).train(training)
        torch.manual_seed(seed)
        with torch.enable_grad():
            text = self._find("generate")(model, tokens, count, temperature)
        return {
            "text": text,
            "calls": model.calls,
            "training": model.training,
            "trained": any(model.modes),
            "gradients": any(model.gradients),
            "next": torch.rand(2),
        }

    def _unpacks(self, table: torch.Tensor, block_size: int, rows: int) -> bool:
        """Whether the learner's generate takes what the model returns for (logits, loss)."""
        prompt = torch.zeros(max(rows, 3), 1, dtype=torch.long)
        for with_tuple in (False, True):
            try:
                self._find("generate")(Predictor(table, block_size, with_tuple), prompt, 1, 1.0)
                return with_tuple
            except Exception:
                continue
        return False

    def _find(self, function: str) -> Any:
        found = getattr(self.module, function, None)
        return found if found is not None else getattr(getattr(self.module, "GPT", None), function, None)


class Layers(nn.Module):
    """Parameters of one, two and three axes, one of them shared by two layers, one bare."""

    def __init__(self, V: int, C: int, H: int, D: int):
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

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> Any:
        logits = self.table[x]  # (N, T, V)
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


class Predictor(nn.Module):
    """Logits (B, T, V) that depend on all tokens so far, alone or with a loss; notes how it is called."""

    def __init__(self, table: torch.Tensor, block_size: int, with_tuple: bool = False):
        super().__init__()
        for name in ARGUMENTS["context_size"] + ("context_size",):
            setattr(self, name, block_size)
        self.with_tuple = with_tuple
        self.table = nn.Parameter(table)
        self.calls: list[torch.Tensor] = []
        self.modes: list[bool] = []
        self.gradients: list[bool] = []

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor | None = None) -> Any:
        self.calls.append(tokens.clone())
        self.modes.append(self.training)
        self.gradients.append(torch.is_grad_enabled())
        seen = self.table[tokens]  # (B, T, V)
        logits = seen + seen.cumsum(dim=1) / 2
        return (logits, None) if self.with_tuple else logits


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
        return self.lm_head(self.module(x))  # (B, T, V)


def _matters(module: nn.Module) -> bool:
    """Whether a layer learns, or behaves otherwise in training."""
    return any(True for _ in module.parameters()) or any(isinstance(each, nn.Dropout) for each in module.modules())


def _like_gpt(value: Any, module: str) -> bool:
    """Whether a name is a class of the file that could be its whole model."""
    return (
        inspect.isclass(value)
        and issubclass(value, nn.Module)
        and value.__module__ == module
        and (hasattr(value, "generate") or "vocab_size" in inspect.signature(value).parameters)
    )


def _fields(config: Any) -> list[str]:
    """The sizes that a Config has: arguments, attributes or keys; of one that takes any, those of the tasks."""
    if isinstance(config, dict):
        return list(config)
    if dataclasses.is_dataclass(config):
        return [field.name for field in dataclasses.fields(config)]
    parameters = inspect.signature(config).parameters if callable(config) else {}
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return ["n_embd", "block_size", "n_layer", "dropout", "n_head", "head_size", *parameters]
    return [*parameters, *(name for name in dir(config) if not name.startswith("_"))]


def _configured(config: Any, sizes: dict) -> Any:
    """A Config of these sizes, of those that it has: a class, a function, a dict or an object."""
    if isinstance(config, dict):
        return config | {name: value for name, value in sizes.items() if name in config}
    made = config
    if callable(config):
        taken = inspect.signature(config).parameters
        any_name = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values())
        made = config(**{name: value for name, value in sizes.items() if any_name or name in taken})
        sizes = {name: value for name, value in sizes.items() if name not in taken}
    made = made if callable(config) else copy.copy(made)
    for name in sizes:
        if hasattr(made, name):
            setattr(made, name, sizes[name])
    return made


def _logits(output: Any) -> torch.Tensor:
    """The logits that forward returns: alone, with a loss, as the attribute or under the key `logits`."""
    found = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", output)
    if isinstance(found, tuple | list):
        found = next((part for part in found if isinstance(part, torch.Tensor) and part.ndim > 1), found)
    if not isinstance(found, torch.Tensor):
        raise TypeError(f"forward returns {type(output).__name__}, not a tensor of logits")
    return found


def describe(error: BaseException, path: Path) -> dict:
    """An error as the check shows it."""
    kind, message = type(error).__name__, (str(error).strip().split("\n") or [""])[0]
    file, line, shapes = "", None, {}
    for frame, number in traceback.walk_tb(error.__traceback__):
        if Path(frame.f_code.co_filename).is_relative_to(path.parent):
            file, line = frame.f_code.co_filename, number
            shapes = {
                name: list(value.shape) for name, value in frame.f_locals.items() if isinstance(value, torch.Tensor)
            }
    if isinstance(error, SyntaxError):
        file, line, message = error.filename or str(path), error.lineno, error.msg
    if isinstance(error, bdb.BdbQuit):
        message = "breakpoint() has no terminal inside the check; run your file itself to use it"
    return {
        "kind": kind,
        "message": message[:300],
        "where": _where(Path(file), line) if line else "",
        "source": linecache.getline(file, line).strip()[:200] if line else "",
        "shapes": dict(list(shapes.items())[:MOST_LOCALS]),
        "module": _missing(error),
        "not_started": isinstance(error, NotImplementedError),
        "trained": isinstance(error, Trained),
    }


def _missing(error: BaseException) -> str:
    """The module that is not there; "" where the error is another."""
    if isinstance(error, ModuleNotFoundError):
        name = error.name or ""
        return "" if name.split(".")[0] in OURS or re.match(r"task0\d", name) else name
    return "." if isinstance(error, ImportError) and "no known parent" in str(error) else ""


def _where(file: Path, line: int) -> str:
    """File and line; of a notebook, its cell and the line in it."""
    source = file.read_text(encoding="utf-8", errors="replace")
    if source.startswith(CELL):
        cell, start, _ = next(each for each in reversed(cells_of(source)) if each[1] <= line)
        return f"{file.name}, cell {cell}, line {line - start + 1}"
    return f"{file.name}, line {line}"
