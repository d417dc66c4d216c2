"""The questions that a learner's process answers, on the learner's module and the models built from it."""

import inspect
import sys
from pathlib import Path
from typing import Any

from check.isolated import loop, models
from check.isolated.loading import MODULE, Trained, load
from check.isolated.models import Layers, Predictor, Reader, Seen, first, logits_of, targets_of
from common import courses, forms
from common.courses import ARGUMENTS, find_method, given, in_order, make, meaning, needs_targets
from common.exercises import ORDER, PARAMETERS, WHOLE

import torch
from torch import nn
from torch.nn import functional as F


class Learner:
    """The learner's module, and the models that were built from it. Its methods are the questions."""

    def __init__(self, path: Path, package: str = "", paths: tuple[str, ...] = ()):
        self.path, self.package, self.paths = path, package, paths
        self.module: Any = None
        self.models: list[Any] = []
        self.optimizers: dict[int, Any] = {}
        self.found: dict[str, list[str]] = {}  # function → its names in the file
        self.given: list[str] = []  # the arguments of the last piece, by the learner's names
        self.bypassed = False  # whether generate asks its model otherwise than by calling it
        self.with_targets = False  # whether forward takes tokens and targets
        self.with_tuple: bool | None = None  # whether generate unpacks (logits, loss)

    def load(self, script: bool = False) -> dict:
        """Import the file; what it defines and what was left out. `script`: what comes before it trains is enough."""
        try:
            self.module, left_out = load(self.path, self.package, self.paths)
        except BaseException as error:
            self.module = sys.modules.get(MODULE)
            unknown = (error.name or "") if isinstance(error, NameError) else ""
            bare = courses.meaning(unknown, dict.fromkeys(loop.NAMES))  # lines alone, which the check's names complete
            if not script or not (bare or isinstance(error, Trained)):
                raise
            where = f"its first use of {unknown} on" if bare else "the first backward() on (it trains)"
            left_out = [f"all from {where}"]
        return self.defined() | {"left_out": left_out}

    def defined(self) -> dict:
        """The names of the file, the fields of its Config, classes like a GPT."""
        names = [name for name in vars(self.module) if not name.startswith("_")]
        config = getattr(self.module, "Config", None)
        return {
            "names": names,
            "fields": None if config is None else models.fields_of(config),
            "like_gpt": [name for name in names if models.like_gpt(getattr(self.module, name), self.module.__name__)],
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

    def takes(self, function: str) -> str:
        """ "", or why the check cannot call a function of PARAMETERS."""
        try:
            found = self._find(function)
            more = ["dropout"] if inspect.isclass(found) else []  # of a module for positions
            in_order(found, dict.fromkeys([*PARAMETERS[function], *more]))
        except TypeError as error:
            return str(error)
        return ""

    def build(self, sizes: dict, vocab_size: int, seed: int, piece: str = "") -> dict:
        """A GPT; its number, its parameters (name, kind of their module) and their first values."""
        torch.manual_seed(seed)
        if piece:
            model = self._piece(piece, sizes | {"vocab_size": vocab_size})
        else:
            model = self.module.GPT(models.configured(self.module.Config, sizes), vocab_size)
        self.models.append(model)
        owners = {id(own): models.class_of(module) for module in model.modules() for own in module.parameters(False)}
        named = dict(model.named_parameters())
        places: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            places.setdefault(id(module), []).append(name)
        return {
            "model": len(self.models) - 1,
            "shared": [names for names in places.values() if len(names) > 1],
            "names": list(named),
            "owners": [owners[id(parameter)] for parameter in named.values()],
            "values": list(named.values()),
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
                if any(isinstance(item, nn.Module) and id(item) not in known and models.learns(item) for item in items):
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
        return courses.find_classes(self.module, piece)

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
        return targets_of(self.models[model])

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
            logits = logits_of(self._forward(network, rows[:, :-1]))
            self.optimizers[model].zero_grad()
            F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).backward()
            self.optimizers[model].step()

    def fill(self, model: int, values: list) -> None:
        """Give the parameters these values."""
        with torch.no_grad():
            for parameter, value in zip(self.models[model].parameters(), values, strict=True):
                parameter.copy_(value)

    def logits(self, model: int, tokens: torch.Tensor, training: bool = False) -> dict:
        with torch.no_grad():
            return {"logits": logits_of(self._forward(self.models[model].train(training), tokens))}

    def _forward(self, network: nn.Module, tokens: torch.Tensor) -> Any:
        """What forward returns: with targets, too, where it needs them, or gives only the last position without."""
        if self.with_targets:
            return network(tokens, tokens)
        output, name = network(tokens), targets_of(network)
        if name and tokens.shape[1] > 1 and logits_of(output).shape[1:2] == (1,):  # as nanoGPT's
            return network(tokens, **{name: tokens})
        return output

    def gradients(self, model: int, tokens: torch.Tensor, targets: torch.Tensor) -> dict:
        """The loss, and the gradient of each parameter (or None)."""
        network = self.models[model].train()
        network.zero_grad(set_to_none=True)
        loss = F.cross_entropy(logits_of(self._forward(network, tokens)).flatten(0, 1), targets.flatten())
        loss.backward()
        return {"loss": loss.item(), "gradients": [parameter.grad for parameter in network.parameters()]}

    def official_weights(self, model: int) -> dict | None:
        """What the learner's hook of that name gives: official name → tensor."""
        hook = getattr(self.module, "official_weights", None)
        return None if hook is None else dict(hook(self.models[model]))

    def generate(
        self, model: int, tokens: torch.Tensor, count: int, temperature: float, seed: int, training: bool
    ) -> dict:
        """What generate writes, and how it calls its model."""
        network, seen = self.models[model].train(training), Seen()
        modules = [each for each in network.modules() if not isinstance(each, torch.jit.ScriptModule)]
        watches = [each.register_forward_pre_hook(lambda *_: seen.note(network)) for each in modules]  # of any layer
        torch.manual_seed(seed)
        try:
            text = network.generate(tokens, count, temperature=temperature)
        finally:
            for watch in watches:
                watch.remove()
        return seen.told(text, network)

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
        """As `generate`, with a model whose logits are known."""
        if self.with_tuple is None:
            self.with_tuple = self._unpacks(table, block_size)
        model = self._predictor(table, block_size, self.with_tuple).train(training)
        torch.manual_seed(seed)
        with torch.enable_grad():
            text = self._call("generate", model, tokens, count, temperature)
        return model.seen.told(text, model)

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
            return logits_of(model(tokens, tokens) if needs_targets(model) else model(tokens))

    def _unpacks(self, table: torch.Tensor, block_size: int) -> bool:
        """Whether the learner's generate takes what the model returns for (logits, loss)."""
        for with_tuple in (False, True):
            try:
                model = self._predictor(table, block_size, with_tuple)
                self._call("generate", model, torch.zeros(3, 1, dtype=torch.long), 1, 1.0)
                self.bypassed = not model.seen.calls
                return with_tuple
            except Exception:
                continue
        return False

    # Functions: the mask, attention, positions, schedule and optimizer

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
        optimizer = self._call("configure_optimizers", model, weight_decay, learning_rate, tuple(betas), "cpu")
        groups = []
        for group in optimizer.param_groups:
            found = {"weight_decay": group["weight_decay"], "lr": float(group["lr"])}
            found |= {"betas": list(group.get("betas", ())), "names": [names.get(id(each)) for each in group["params"]]}
            groups.append(found)
        return {
            "kind": type(optimizer).__name__,
            "adamw": isinstance(optimizer, torch.optim.AdamW),
            "groups": groups,
            "axes": {name: parameter.ndim for name, parameter in model.named_parameters()},
            "model": type(model).__name__,
        }

    def functions(self, function: str) -> list[str]:
        """The names of what may be a function that the check asks for; of several those that do what it does."""
        if function not in self.found:
            names = courses.find_functions(self.module, function)
            if names != [function] and find_method(self.module, function):
                names = [function]
            does = forms.DOES.get(function)
            near = names or list(courses.own(self.module))
            fitting = [name for name in near if does and forms.holds(does, getattr(self.module, name, None))]
            self.found[function] = fitting or names or near[: len(near) == 1]
        return self.found[function]

    def _own_model(self, function: str, sizes: dict) -> Any:
        """A model of the class of the learner's that has a method; None where it is a function, or no model is made."""
        kind = find_method(self.module, function)
        if kind is None or courses.find_functions(self.module, function) == [function]:
            return None
        full = {"hidden_size": sizes["C"], "n_head": sizes["H"], "n_layer": 2, "dropout": 0.0, "causal": True}
        try:
            model = make(kind, "gpt", full | {"vocab_size": sizes["V"], "context_size": sizes["T"]})
        except TypeError:
            return None
        return model if isinstance(model, nn.Module) and len(list(model.parameters())) > 2 else None

    def _call(self, name: str, *values: Any) -> Any:
        """What a function of the file returns for arguments in our order, whatever it calls them."""
        function = self._find(name)
        return function(**in_order(function, dict(zip(PARAMETERS[name], values, strict=True))))

    def _find(self, function: str) -> Any:
        """A function of the file, or a method of its model; or None."""
        names = self.functions(function)
        if not names:
            return None
        kind = None if hasattr(self.module, names[0]) else find_method(self.module, function)
        return getattr(kind or self.module, names[0])
