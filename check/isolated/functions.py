"""The questions about a learner's functions: the mask, attention, positions, schedule and optimizer."""

from typing import Any

from check.isolated import loop
from check.isolated.standins import Layers
from common import forms
from common.courses import find_functions, find_method, in_order, make, own_functions
from common.exercises import PARAMETERS

import torch
from torch import nn


class Functions:
    """Part of a Learner, which says where each function is."""

    module: Any
    found: dict[str, list[str]]  # function → its names in the file

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

    def _find(self, function: str) -> Any:
        """A function of the file, or a method of its model; or None."""
        names = self.functions(function)
        if not names:
            return None
        kind = None if hasattr(self.module, names[0]) else find_method(self.module, function)
        return getattr(kind or self.module, names[0])
