"""A learner's file under check: its process, and the models that were built from it."""

import ast
import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from check.isolated.loading import imported_files
from check.isolated.notebook import source_of
from check.judge import arrangements, matching
from check.judge.arrangements import Arrangement
from check.judge.changes import SETTINGS
from check.judge.matching import Sizes, Structure, Unreadable
from check.judge.process import LearnerProcess
from check.judge.reference import TASKS, Form, Task, Weights
from check.judge.result import Failure
from common.exercises import CLASSES, WHOLE
from exercises.build import source
from exercises.catalogue import EXERCISES

import torch

B = 3
TOLERANCE = 2e-4
WORDS = {"n_embd": "hidden_size", "block_size": "context_size"}  # the lessons' and the pieces'


@dataclass
class Model:
    """A model in the learner's process, and what is known of it here."""

    number: int
    sizes: Sizes
    names: list[str]
    owners: list[str]
    first_values: list[torch.Tensor]
    values: list[torch.Tensor]
    shared: list[list[str]]  # names of one module

    def count(self) -> int:
        return sum(value.numel() for value in self.first_values)


@dataclass(eq=False)
class LearnerFile:
    """A task or piece, the learner's file for it, and a seed for all that the check draws."""

    name: str
    path: Path
    process: LearnerProcess
    seed: int = 0
    official_too: bool = False
    graded: bool = False
    head_size: int = 6  # of small models with several heads

    def __post_init__(self) -> None:
        self.found: dict[str, list[str]] = {}  # names, fields of its Config, and classes like a GPT
        self.small: Model | None = None
        self.arrangement: Arrangement | None = None
        self.form = Form()
        self.structures: dict[tuple[int, int], Structure] = {}  # heads and layers → structure
        self.hook: bool | None = None  # whether there is an official_weights
        self.hooks: dict[int, dict[str, torch.Tensor] | None] = {}
        self.chosen: dict[str, Any] = {}  # of what its task leaves open: fields of Task
        self.sizes_used = ""
        self.notes: list[str] = []  # what is right, and other than in the lesson
        self.failed: set[str] = set()  # stages that did not hold
        self.failure: Failure | None = None  # why the last did not
        self.charged: list[dict] = []  # what a bug that was named changes of the form

    @property
    def task(self) -> Task:
        return replace(TASKS[self.name], **self.chosen)

    @property
    def is_one_head(self) -> bool:
        """Whether it is a class for attention with one head."""
        return self.name in CLASSES and self.task.attention and not self.task.n_head

    @property
    def is_free(self) -> bool:
        """Whether its positions may be rotary, among other things: then equal tokens give equal logits."""
        return EXERCISES[self.name].suite in ("transformer", "encoder")

    def in_its_words(self, text: str) -> str:
        """A message about a piece in its exercise's words, where the file does not have the lessons'."""
        if self.name.startswith("task") or EXERCISES[self.name].suite == "change":
            return text
        text_of_file = source_of(self.path).decode(errors="replace")
        words = {here: there for here, there in WORDS.items() if here not in text_of_file}
        words |= {"logits": "outputs"} if self.name in CLASSES.keys() - set(WHOLE) else {}
        return re.sub(r"\b\w+\b", lambda word: words.get(word[0], word[0]), text)

    def note(self, text: str) -> None:
        """Remember what is right, and other than in the lesson."""
        self.notes += [text] * (text not in self.notes)

    def generator(self, salt: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(1_000_003 * self.seed + salt)

    def identify(self) -> str:
        """The start of the file's SHA-256. Raises Failure for the repository's own file."""
        text, own, same = source_of(self.path), EXERCISES[self.name].official, ""
        official = {code_of(own.read_bytes()), code_of(source(self.name).encode())}
        if self.path.samefile(own) or code_of(text) in official:
            same = f"{own.name}, as the repository has it"
        for file, content in imported_files(self.path.resolve(), self.process.within)[0].items():
            same = same or (f"it imports {file.name}, as the repository has it" if code_of(content) in official else "")
        if same and not self.official_too:
            raise Failure(
                what="the code is yours", expected="your own file", got=same, hint="Which file did you write?"
            )
        return hashlib.sha256(text).hexdigest()[:12]

    # Models

    def takes(self, argument: str) -> bool:
        """Whether a model can be told this."""
        return self.name not in CLASSES or argument in self.process.ask("piece_takes", piece=self.name)

    def config(self, sizes: Sizes, **changes: Any) -> dict:
        """The fields of a Config of these sizes."""
        config = {"n_embd": sizes.C, "block_size": sizes.T, "n_layer": sizes.L, "dropout": 0.0}
        config |= {"n_head": sizes.H} if self.task.n_head else {"head_size": sizes.D}
        return config | self._settings(sizes) | changes

    def _settings(self, sizes: Sizes) -> dict:
        """What a change of task 9 adds to Config, by the file's name for it."""
        names = SETTINGS.get(self.task.change, "").split()
        value = {"grouped_queries": sizes.K, "sliding_window": sizes.window}.get(self.task.change)
        own = [name for name in names if name in self.found.get("fields", [])]
        return dict.fromkeys(own[:1] if own or self.task.grouped else names[:1], value)

    def build(self, sizes: Sizes, **changes: Any) -> Model:
        """A model with its own initial values."""
        if self.is_one_head:  # as wide as the vectors
            sizes = replace(sizes, H=1, D=sizes.C)
        if self.task.grouped and not sizes.K:
            sizes = replace(sizes, K=next(K for K in (sizes.H // 3, sizes.H // 2, 1) if K and sizes.H % K == 0))
        config = self.config(sizes, **changes)
        if self.name in CLASSES:
            config = {WORDS.get(name, name): value for name, value in config.items()}
            config = {"causal": True, "n_head": sizes.H} | config
        piece = self.name if self.name in CLASSES else ""
        answer = self.process.ask("build", sizes=config, vocab_size=sizes.V, seed=self.seed, piece=piece)
        values = answer["values"]
        if self.task.grouped and not self._settings(sizes):  # the file has a number, or a share of the heads
            fewer = matching.count(self.task, replace(sizes, K=sizes.H)) - sum(value.numel() for value in values)
            sizes = replace(sizes, K=sizes.H - round(fewer / (2 * sizes.L * sizes.C * sizes.D)))
        return Model(answer["model"], sizes, answer["names"], answer["owners"], values, values, answer["shared"])

    def fill(self, model: Model, loud: float = 1.0, salt: int = 1) -> Model:
        """Give a model random values, `loud` times as large as in a good initialization."""
        generator = self.generator(salt)
        values = []
        for first in model.first_values:
            drawn = torch.randn(first.shape, generator=generator)
            if first.squeeze().ndim >= 2:
                is_table = model.sizes.V in first.shape or (first.shape[0] == model.sizes.T and not self.task.rotary)
                drawn *= loud * (0.7 if is_table else 1.3 / model.sizes.C**0.5)
            else:
                drawn = 0.3 * drawn + (1.0 if bool((first == 1).all()) else 0.0)
            values.append(drawn)
        return self.set(model, values)

    def set(self, model: Model, values: list[torch.Tensor]) -> Model:
        self.process.ask("fill", model=model.number, values=values)
        model.values = values
        return model

    @contextlib.contextmanager
    def with_values(self, model: Model, values: list[torch.Tensor]) -> Iterator[None]:
        """Inside, the model has these values."""
        before = model.values
        try:
            self.set(model, values)
            yield
        finally:
            self.set(model, before)

    def small_model(self) -> Model:
        """The model at sizes that tell axes apart, with random values."""
        if self.small is None:
            soft = 0.5 if self.is_one_head else 1.0  # scores of a wide head are large
            self.small = self.fill(self.build(self.small_sizes), soft)
        return self.small

    def variant(self, loud: float = 1.0, **changes: int) -> Model:
        """A model of other small sizes, with random values."""
        return self.fill(self.build(replace(self.small_sizes, **changes)), loud)

    @property
    def small_sizes(self) -> Sizes:
        """Sizes that tell axes apart."""
        if self.task.grouped:
            return Sizes(V=11, C=48, H=6, D=8, T=7, L=3, K=2)
        return matching.telling(4 if self.task.n_head else 1, 3 if self.task.blocks else 1, self.head_size)

    def logits(self, model: Model, tokens: torch.Tensor, training: bool = False) -> torch.Tensor:
        logits = self.process.ask("logits", model=model.number, tokens=tokens, training=training)["logits"]
        if tuple(logits.shape) != (*tokens.shape, model.sizes.V):
            raise Failure(
                what="logits have a row for each position",
                expected=(*tokens.shape, model.sizes.V),
                got=tuple(logits.shape),
                hint="Does forward return the logits, (B, T, V)?",
            )
        return logits.float()

    def gradients(self, model: Model, tokens: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor | None]:
        """Of each parameter the gradient of the cross-entropy of targets."""
        return self.process.ask("gradients", model=model.number, tokens=tokens, targets=targets)["gradients"]

    def tokens(self, rows: int, length: int, vocab_size: int, salt: int = 5) -> torch.Tensor:
        """Random tokens (rows, length)."""
        return torch.randint(vocab_size, (rows, length), generator=self.generator(salt))

    # Weights, once they are matched

    def structure(self, model: Model) -> Structure:
        """A model's parameters, sorted, as a model of its heads and layers has them at telling sizes."""
        heads_and_layers = model.sizes.H, model.sizes.L
        if heads_and_layers not in self.structures:
            sizes = matching.telling(*heads_and_layers, self.head_size)
            sizes = replace(self.small_sizes, L=heads_and_layers[1]) if self.task.grouped else sizes
            twin = self.small_model() if sizes == self.small_sizes else self.build(sizes)
            names, owners, places = twin.names, twin.owners, self.places(twin)
            if places is not None:
                names, owners = list(places), ["Linear"] * len(places)
            shapes = [value.shape for value in self.tensors(twin, twin.values)]
            self.structures[heads_and_layers] = matching.read(self.task, names, owners, shapes, twin.sizes)
        found, names = self.structures[heads_and_layers], list(self.places(model) or model.names)
        if names != found.names:
            odd = {*names} ^ {*found.names}
            other = next((name for name in [*names, *found.names] if name in odd), names[0])
            raise Unreadable(f"at n_embd = {model.sizes.C} it has others than at other sizes ({other})")
        return found

    def weights(
        self, model: Model, values: list[torch.Tensor] | None = None, how: Arrangement | None = None
    ) -> Weights:
        """The reference's weights that belong to a model's values (its own by default)."""
        chosen, how = self.tensors(model, model.values if values is None else values), how or self.arrangement
        assert how is not None
        return arrangements.weights(self.task, self.structure(model), chosen, model.sizes, how)

    def tensors(self, model: Model, values: list[torch.Tensor]) -> list[torch.Tensor]:
        """A model's parameters, or what the learner's official_weights makes of them."""
        places = self.places(model)
        if places is None:
            return values
        numbers = torch.cat([value.flatten() for value in values])
        return [numbers[place] for place in places.values()]

    def places(self, model: Model) -> dict[str, torch.Tensor] | None:
        """Official name → for each of its numbers the place among the model's own; None without official_weights.

        Raises Failure where official_weights does more than name and arrange the model's own numbers.
        """
        if self.hook is None:
            self.hook = bool(self.process.ask("has", function="official_weights"))
        if self.hook and model.number not in self.hooks:
            self.hooks[model.number] = self._ask_places(model)
        return self.hooks.get(model.number)

    def _ask_places(self, model: Model) -> dict[str, torch.Tensor] | None:
        """What official_weights does to parameters that hold the numbers from 1 on, shuffled."""
        total, before = model.count(), model.values
        order = torch.randperm(total, generator=self.generator(77))
        parts = (order + 1).float().split([value.numel() for value in before])
        with self.with_values(model, [part.view_as(value) for part, value in zip(parts, before, strict=True)]):
            named = self.process.ask("official_weights", model=model.number)
        if named is None:  # the only function of a file was taken for it
            return None
        inverse = order.argsort()
        once = {tuple(value.flatten().tolist()): name for name, value in reversed(named.items())}  # tied weights
        named = {name: named[name] for name in once.values()}
        given = torch.cat([value.flatten() for value in named.values()]).double()
        if not torch.equal(given.sort().values, torch.arange(1, total + 1).double()):
            raise Failure(
                what="official_weights gives the model's own numbers under the lesson's names",
                expected=f"each of the model's {total} numbers once, unchanged",
                got=f"{len(given)} numbers, among them {int(torch.isin(order + 1, given).sum())} of the model's",
                hint="Does official_weights calculate, leave out or repeat something?",
            )
        return {name: inverse[value.long() - 1] for name, value in named.items()}


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
