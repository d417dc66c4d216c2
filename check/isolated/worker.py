"""The questions that a learner's process answers, on the learner's module and the models built from it."""

import bdb
import copy
import dataclasses
import inspect
import linecache
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from check.isolated import loop
from check.isolated.loading import MODULE, OURS, Trained, cells_of, load
from check.isolated.notebook import CELL
from check.isolated.standins import Layers, Predictor, Reader, Seen, first
from common import forms
from common.courses import (
    ARGUMENTS,
    find_classes,
    find_functions,
    find_method,
    given,
    in_order,
    make,
    meaning,
    needs_targets,
    own_functions,
)
from common.exercises import ORDER, PARAMETERS, WHOLE

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
        self.optimizers: dict[int, Any] = {}
        self.found: dict[str, list[str]] = {}
        self.given: list[str] = []  # the arguments of the last piece, by the learner's names
        self.bypassed = False  # whether generate asks its model otherwise than by calling it
        self.with_targets = False  # whether forward takes tokens and targets
        self.with_tuple: bool | None = None  # whether generate unpacks (logits, loss)

    def load(self, script: bool = False) -> dict:
        """Import the file; its names, the fields of its Config, classes like a GPT, what was left out.

        `script`: what comes before the file trains is enough.
        """
        try:
            self.module, left_out = load(self.path, self.package, self.paths)
        except BaseException as error:
            self.module = sys.modules.get(MODULE)
            if not script or not isinstance(error, Trained):
                raise
            left_out = ["all from the first backward() on (it trains)"]
        return self.defined() | {"left_out": left_out}

    def defined(self) -> dict:
        """The names of the file, the fields of its Config, classes like a GPT."""
        names = [name for name in vars(self.module) if not name.startswith("_")]
        config = getattr(self.module, "Config", None)
        return {
            "names": names,
            "fields": None if config is None else _fields(config),
            "like_gpt": [name for name in names if _like_gpt(getattr(self.module, name), self.module.__name__)],
        }

    def cannot_write(self, model: int) -> str:
        """ "", or why the model has no generate(tokens, max_new_tokens, temperature=1.0)."""
        method = getattr(self.models[model], "generate", None)
        if method is None:
            return "no such method"
        try:
            inspect.signature(method).bind(None, 1, temperature=1.0)
        except TypeError as error:
            return str(error)
        return ""

    def has(self, function: str) -> bool:
        return self._find(function) is not None

    def functions(self, function: str) -> list[str]:
        """The names of what may be a function that the check asks for; of several those that do what it does."""
        if function not in self.found:
            names = find_functions(self.module, function)
            if names != [function] and find_method(self.module, function):
                names = [function]
            does = forms.DOES.get(function)
            near = names or own_functions(self.module)
            fitting = [name for name in near if does and forms.holds(does, getattr(self.module, name, None))]
            self.found[function] = fitting or names or near[: len(near) == 1]
        return self.found[function]

    def takes(self, function: str) -> str:
        """ "", or why the check cannot call a function of PARAMETERS."""
        try:
            in_order(self._find(function), dict.fromkeys(PARAMETERS[function]))
        except TypeError as error:
            return str(error)
        return ""

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
        places: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            places.setdefault(id(module), []).append(name)
        return {
            "model": len(self.models) - 1,
            "shared": [names for names in places.values() if len(names) > 1],
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
        kind = getattr(self.module, self.piece_classes(piece)[0])
        self.given = list(given(kind, piece, sizes))
        made = make(kind, piece, sizes)
        if piece in WHOLE:
            self.with_targets = needs_targets(made)
            return made
        return Reader(made, sizes)

    def piece_classes(self, piece: str) -> list[str]:
        """The names of the classes that may be a piece."""
        return find_classes(self.module, piece)

    def piece_takes(self, piece: str) -> list[str]:
        """Which of the arguments that a piece may have its class takes."""
        taken = inspect.signature(getattr(self.module, self.piece_classes(piece)[0])).parameters
        known = [meaning(name, ARGUMENTS) for name in taken]
        return [name for name in known if name] or list(ORDER[piece] if len(taken) == 1 else ORDER[piece][: len(taken)])

    def built_with(self) -> list[str]:
        """The names of the arguments that the last piece was built with."""
        return self.given

    def module_output(self, model: int, x: torch.Tensor) -> Any:
        """What the module of a Reader gives for vectors."""
        with torch.no_grad():
            return first(self.models[model].eval().module(x))

    def takes_targets(self, model: int) -> str:
        """The name under which forward can be given targets as well; empty where there is none."""
        return _targets_of(self.models[model])

    def loss(self, model: int, tokens: torch.Tensor, targets: torch.Tensor) -> Any:
        """What forward returns for tokens and targets, as a list of tensors and None."""
        name = self.takes_targets(model)
        with torch.no_grad():
            network = self.models[model].eval()
            output = network(tokens, **{name: targets}) if name else network(tokens, targets)
        if not isinstance(output, torch.Tensor | tuple | list):
            fields = output if isinstance(output, dict) else vars(output)
            return [part for part in fields.values() if isinstance(part, torch.Tensor)]
        return list(output) if isinstance(output, tuple | list) else output

    def learn_reversal(
        self, model: int, symbols: int, length: int, rate: float, start: int, count: int, steps: int
    ) -> None:
        """`count` of `steps` steps on random symbols, each row followed by its own reverse."""
        network = self.models[model].train()
        if not start:
            torch.manual_seed(1)
            self.optimizers[model] = torch.optim.AdamW(network.parameters(), fused=True)
        for step in range(start, min(start + count, steps)):
            for group in self.optimizers[model].param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 50, 2 * (steps - step) / steps)
            first = torch.randint(symbols, (64, length))
            rows = torch.cat([first, first.flip(1)], dim=1)  # (B, T + 1)
            logits = _logits(self._forward(network, rows[:, :-1]))
            self.optimizers[model].zero_grad()
            F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).backward()
            self.optimizers[model].step()

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
        """What forward returns: with targets, too, where it needs them, or gives only the last position without."""
        if self.with_targets:
            return network(tokens, tokens)
        output, name = network(tokens), _targets_of(network)
        if name and tokens.shape[1] > 1 and _logits(output).shape[1:2] == (1,):  # as nanoGPT's
            return network(tokens, **{name: tokens})
        return output

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

        modules = [each for each in network.modules() if not isinstance(each, torch.jit.ScriptModule)]
        watches = [module.register_forward_pre_hook(note) for module in modules]  # not all call the model
        torch.manual_seed(seed)
        try:
            text = network.generate(tokens, count, temperature=temperature)
        finally:
            for watch in watches:
                watch.remove()
        return {
            "text": text,
            "training": network.training,
            "trained": any(modes),
            "gradients": any(gradients),
            "next": torch.rand(2),
        }

    def mask(self, length: int) -> torch.Tensor:
        """The table (…, T, T) of the learner's causal mask."""
        return forms.mask_table(self._find("causal_mask"), length)

    def masked_scores(self, scores: torch.Tensor) -> torch.Tensor | None:
        """What the mask makes of scores (T, T); None where it takes the length alone."""
        function = self._find("causal_mask")
        return function(scores) if forms.masks_scores(function) else None

    def how_masked(self) -> str:
        return forms.how_masked(self._find("attention"))

    def attend(self, vectors: list, mask: torch.Tensor | None = None) -> dict:
        """What attention returns, and its arguments afterwards."""
        return {"value": forms.attend(self._find("attention"), vectors, mask), "arguments": [*vectors, mask]}

    def attend_gradients(self, vectors: list, mask: torch.Tensor | None = None) -> list:
        """The gradients of q, k and v, of the sum of squares of what attention returns."""
        leaves = [vector.requires_grad_() for vector in vectors]
        forms.attend(self._find("attention"), leaves, mask).square().sum().backward()
        return [leaf.grad for leaf in leaves]

    def positions(self, length: int, width: int, longest: int) -> dict:
        """The rows (T, C) of positions, and whether they are learned."""
        rows = forms.position_rows(self._find("positional_encoding"), length, width, longest)
        return {"value": rows, "learned": rows.requires_grad}

    def rates(self, iterations: list, settings: list) -> list:
        """get_lr of some iterations, with four settings as arguments or as the module's globals."""
        function, iteration = self._find("get_lr"), object()
        values = dict(zip(PARAMETERS["get_lr"], [iteration, *settings], strict=True))
        given, known = loop.given(function, values, vars(self.module))
        if missing := [name for name in values if name not in known]:
            raise TypeError(f"neither an argument nor a global tells get_lr its {', '.join(missing)}")
        fixed = {name: value for name, value in given.items() if value is not iteration}
        name = next(name for name, value in given.items() if value is iteration)
        return [float(function(**fixed, **{name: n})) for n in iterations]

    def optimizer(self, settings: list, sizes: dict) -> dict:
        """The groups of configure_optimizers: for the learner's GPT where it is its method, else for Layers."""
        model = self._own_model("configure_optimizers", sizes) or Layers(**sizes)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        weight_decay, learning_rate, betas = settings
        values = [model, weight_decay, learning_rate, tuple(betas), "cpu"]
        function = self._find("configure_optimizers")
        given = in_order(function, dict(zip(PARAMETERS["configure_optimizers"], values, strict=True)))
        optimizer = function(**given)
        groups = [
            {
                "names": [names.get(id(parameter)) for parameter in group["params"]],
                "weight_decay": group["weight_decay"],
                "lr": float(group["lr"]),
                "betas": list(group.get("betas", ())),
            }
            for group in optimizer.param_groups
        ]
        return {
            "kind": type(optimizer).__name__,
            "adamw": isinstance(optimizer, torch.optim.AdamW),
            "groups": groups,
            "axes": {name: parameter.ndim for name, parameter in model.named_parameters()},
            "model": type(model).__name__,
        }

    def _own_model(self, function: str, sizes: dict) -> Any:
        """A model of the class of the learner's that has a method; None where it is a function, or no model is made."""
        kind = find_method(self.module, function)
        if kind is None or find_functions(self.module, function) == [function]:
            return None
        full = {"hidden_size": sizes["C"], "n_head": sizes["H"], "n_layer": 2, "dropout": 0.0, "causal": True}
        try:
            model = make(kind, "gpt", full | {"vocab_size": sizes["V"], "context_size": sizes["T"]})
        except TypeError:
            return None
        return model if isinstance(model, nn.Module) and len(list(model.parameters())) > 2 else None

    def loop(self) -> dict:
        """Which training loop the file has."""
        return loop.find(self.module, self.path)

    def train(self, batches: list, rates: list, losses: list, settings: list, grad_clip: float) -> list[dict]:
        """What the learner's training loop does with a table of logits, in order: batches, steps, evaluations, logs."""
        return loop.run(self.module, self.path, batches, rates, losses, [*settings[:3], grad_clip, settings[3]])

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
            self.with_tuple = self._unpacks(table, block_size)
        model = self._predictor(table, block_size, self.with_tuple).train(training)
        torch.manual_seed(seed)
        with torch.enable_grad():
            text = self._generate(model, tokens, count, temperature)
        seen = model.seen
        return {
            "text": text,
            "calls": seen.calls,
            "training": model.training,
            "trained": any(seen.modes),
            "gradients": any(seen.gradients),
            "next": torch.rand(2),
        }

    def _predictor(self, table: torch.Tensor, block_size: int, with_tuple: bool) -> Any:
        """A model whose logits are known: the learner's own, with another forward, where generate is its method."""
        predictor = Predictor(table, block_size, with_tuple)
        own = self._own_model("generate", {"V": len(table), "C": 8, "H": 2, "T": block_size})
        if own is None:
            return predictor
        if self.bypassed:
            torch.manual_seed(5)
            for parameter in own.parameters():
                nn.init.normal_(parameter, std=0.5)
            own.seen = Seen()
            return own
        own.seen, own.forward = predictor.seen, lambda *tokens, **more: predictor.of(own, *tokens, **more)
        return own

    def predictor_logits(self, table: torch.Tensor, block_size: int, tokens: torch.Tensor) -> torch.Tensor:
        """What the model that generate is given, predicts."""
        model = self._predictor(table, block_size, False).eval()
        with torch.no_grad():
            return _logits(model(tokens, tokens) if needs_targets(model) else model(tokens))

    def _generate(self, model: Any, tokens: torch.Tensor, count: int, temperature: float) -> Any:
        values = dict(zip(PARAMETERS["generate"], (model, tokens, count, temperature), strict=True))
        function = self._find("generate")
        return function(**in_order(function, values))

    def _unpacks(self, table: torch.Tensor, block_size: int) -> bool:
        """Whether the learner's generate takes what the model returns for (logits, loss)."""
        for with_tuple in (False, True):
            try:
                model = self._predictor(table, block_size, with_tuple)
                self._generate(model, torch.zeros(3, 1, dtype=torch.long), 1, 1.0)
                self.bypassed = not model.seen.calls
                return with_tuple
            except Exception:
                continue
        return False

    def _find(self, function: str) -> Any:
        """A function of the file, or a method of its model; or None."""
        names = self.functions(function)
        if not names:
            return None
        kind = None if hasattr(self.module, names[0]) else find_method(self.module, function)
        return getattr(kind or self.module, names[0])


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


def _targets_of(network: nn.Module) -> str:
    parameters = list(inspect.signature(network.forward).parameters)
    return next((name for name in parameters[1:] if name in TARGETS), "")


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
