"""A learner's file under check: its session, and the models that were built from it."""

import ast
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from check import matching
from check.matching import Arrangement, Sizes, Structure
from check.notebook import source_of
from check.reference import TASKS, Form, Task, Weights
from check.result import Failure
from check.session import Session
from exercises.build import official_path

import torch

# Sizes that tell axes apart: B 3, T up to 7, V 11, C 24, H 4, D 6 (task 1: one head of 10), 3D 18, 4C 96.
SMALL = Sizes(V=11, C=24, H=4, D=6, T=7, L=2)
SMALL_ONE_HEAD = Sizes(V=11, C=24, H=1, D=10, T=7, L=1)
B = 3
TOLERANCE = 2e-4
MODULES = (
    "mlp",
    "multi_head_attention",
    "block",
    "gpt",
    "transformer",
    "encoder",
)  # pieces that are classes, not functions


@dataclass
class Model:
    """A model in the learner's process, and what is known of it here."""

    number: int
    sizes: Sizes
    names: list[str]
    owners: list[str]
    first_values: list[torch.Tensor]
    values: list[torch.Tensor]

    @property
    def shapes(self) -> list[torch.Size]:
        return [value.shape for value in self.first_values]

    def count(self) -> int:
        return sum(value.numel() for value in self.first_values)


class Subject:
    """A task or piece, the learner's file for it, and a seed for all that the check draws."""

    def __init__(self, name: str, path: Path, session: Session, seed: int = 0, official_too: bool = False):
        self.name, self.path, self.session, self.seed, self.official_too = name, path, session, seed, official_too
        self.fields: list[str] = []
        self.defined: list[str] = []
        self.like_gpt: list[str] = []  # classes that could be the model
        self.small: Model | None = None
        self.arrangement: Arrangement | None = None
        self.form = Form()
        self.hook = False  # whether the learner's official_weights is in use
        self.sizes_used = ""
        self.notes: list[str] = []  # what is right, and other than in the lesson

    @property
    def task(self) -> Task:
        return TASKS[self.name]

    def note(self, text: str) -> None:
        """Remember what is right, and other than in the lesson."""
        self.notes += [text] * (text not in self.notes)

    def generator(self, salt: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(1_000_003 * self.seed + salt)

    def identify(self) -> str:
        """The start of the file's SHA-256. Raises Failure for the repository's own file."""
        source, own = source_of(self.path), official_path(self.name)
        if not self.official_too and (self.path.samefile(own) or code_of(source) == code_of(own.read_bytes())):
            raise Failure(
                what="the code is yours",
                expected="a file of your own",
                got=f"{own.name}, as the repository has it",
                question="Which file did you write?",
            )
        return hashlib.sha256(source).hexdigest()[:12]

    # Models

    def config(self, sizes: Sizes, **changes: Any) -> dict:
        """The fields of a Config of these sizes."""
        config = {"n_embd": sizes.C, "block_size": sizes.T, "n_layer": sizes.L, "dropout": 0.0}
        config |= {"n_head": sizes.H} if self.task.n_head else {"head_size": sizes.D}
        return config | changes

    def build(self, sizes: Sizes, seed: int = 0, **changes: Any) -> Model:
        """A model with its own initial values."""
        config = self.config(sizes, **changes)
        if self.name in MODULES:
            names = {"n_embd": "hidden_size", "block_size": "context_size"}
            config = {names.get(name, name): value for name, value in config.items()}
            config = {"causal": True, "n_head": sizes.H} | config
        piece = self.name if self.name in MODULES else ""
        answer = self.session.ask("build", sizes=config, vocab_size=sizes.V, seed=seed + self.seed, piece=piece)
        values = answer["values"]
        return Model(answer["model"], sizes, answer["names"], answer["owners"], values, values)

    def fill(self, model: Model, loud: float = 1.0, salt: int = 1) -> Model:
        """Give a model random values, `loud` times as large as in a good initialization."""
        generator = self.generator(salt)
        values = []
        for first in model.first_values:
            drawn = torch.randn(first.shape, generator=generator)
            if first.ndim >= 2:
                is_table = model.sizes.V in first.shape or first.shape[0] == model.sizes.T
                drawn *= loud * (0.7 if is_table else 1.3 / model.sizes.C**0.5)
            else:
                drawn = 0.3 * drawn + (1.0 if bool((first == 1).all()) else 0.0)
            values.append(drawn)
        return self.set(model, values)

    def set(self, model: Model, values: list[torch.Tensor]) -> Model:
        self.session.ask("fill", model=model.number, values=values)
        model.values = values
        return model

    def small_model(self) -> Model:
        """The model at sizes that tell axes apart, with random values."""
        if self.small is None:
            self.small = self.fill(self.build(self.small_sizes))
        return self.small

    @property
    def small_sizes(self) -> Sizes:
        """Sizes that tell axes apart."""
        if not self.task.n_head:
            return SMALL_ONE_HEAD
        return SMALL if self.task.blocks else replace(SMALL, L=1)

    def logits(self, model: Model, tokens: torch.Tensor, training: bool = False) -> torch.Tensor:
        logits = self.session.ask("logits", model=model.number, tokens=tokens, training=training)["logits"]
        if tuple(logits.shape) != (*tokens.shape, model.sizes.V):
            raise Failure(
                what="logits have a row for each position",
                expected=(*tokens.shape, model.sizes.V),
                got=tuple(logits.shape),
                question="Does forward return the logits, (B, T, V)?",
            )
        return logits.float()

    def tokens(self, rows: int, length: int, vocab_size: int, salt: int = 5) -> torch.Tensor:
        """Random tokens (rows, length)."""
        return torch.randint(vocab_size, (rows, length), generator=self.generator(salt))

    # Weights, once they are matched

    def structure(self, model: Model) -> Structure:
        """A model's parameters, sorted."""
        small = self.small_model()
        if model.sizes.L == 1 and self.task.blocks and small.sizes.L > 1:
            norm = self.structure(small).norm
            last = norm.name if norm else ""
            return matching.read(self.task, model.names, model.owners, model.shapes, model.sizes, last)
        return matching.read(self.task, model.names, model.owners, model.shapes, model.sizes)

    def weights(self, model: Model, values: list[torch.Tensor] | None = None) -> Weights:
        """The reference's weights that belong to a model's values (its own by default)."""
        if self.hook:
            names, named = self._hooked(model)
            return self._official(names, named, model.sizes)
        assert self.arrangement is not None
        chosen = model.values if values is None else values
        return matching.weights(self.task, self.structure(model), chosen, model.sizes, self.arrangement)

    def weights_of(self, model: Model) -> tuple[list[torch.Tensor], Callable[[list[torch.Tensor]], Weights]]:
        """Values to learn, and how the reference's weights follow from them."""
        if self.hook:
            names, values = self._hooked(model)
            return values, lambda leaves: self._official(names, leaves, model.sizes)
        return model.first_values, lambda leaves: self.weights(model, leaves)

    def _hooked(self, model: Model) -> tuple[list[str], list[torch.Tensor]]:
        """What the learner's official_weights gives: names and layout are the lesson's."""
        named = self.session.ask("official_weights", model=model.number)
        return list(named), list(named.values())

    def _official(self, names: list[str], values: list[torch.Tensor], sizes: Sizes) -> Weights:
        """The reference's weights of parameters that are named and laid out as the official file's."""
        try:
            owners, shapes = ["Linear"] * len(names), [value.shape for value in values]
            structure = matching.read(self.task, names, owners, shapes, sizes)
            return matching.weights(self.task, structure, values, sizes, matching.official(self.task))
        except (matching.Unreadable, AttributeError, RuntimeError, IndexError) as error:
            raise Failure(
                what="official_weights gives the lesson's parameters",
                expected="their names and shapes, as in the official file's state_dict()",
                got=str(error),
                question="Which name, or which shape, differs from the official file's state_dict()?",
            ) from None


def code_of(source: bytes) -> str:
    """What a file says, without comments, docstring and layout."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ""
    if tree.body and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant):
        del tree.body[0]
    return ast.dump(tree)


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float = TOLERANCE) -> bool:
    """Whether two tensors are equal but for rounding."""
    difference = (one - other).abs().max()
    return bool(difference <= tolerance * max(1.0, float(other.abs().max())))


def off(one: torch.Tensor, other: torch.Tensor) -> str:
    """By how much two tensors differ at most."""
    return f"off by {float((one - other).abs().max()):.2g}"
