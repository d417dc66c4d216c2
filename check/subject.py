"""The file under check and the repository's own beside it, built at sizes that tell axes apart."""

import ast
import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path

import torch
from torch import nn

from exercises.build import module_name

# Each size differs from all others: B 2, T up to 6, V 11, C 12, H 3, D 4 (task 1: 7).
SIZES = {"n_embd": 12, "block_size": 6, "head_size": 7, "n_head": 3, "n_layer": 2, "dropout": 0.0}
V = 11
B = 2


class Failure(Exception):
    """A property that does not hold: what was expected, what came, and a question that leads to the bug."""

    def __init__(self, what, expected, got, question):
        super().__init__(what)
        self.what, self.expected, self.got, self.question = what, str(expected), str(got), question


class Skipped(Exception):
    """A property that cannot be looked at here; the message says why."""


class Subject:
    """`path`, its `module` once loaded, and the `official` module of the task or piece."""

    def __init__(self, task: str, path: Path, official_too: bool = False):
        self.task, self.path, self.official_too = task, path, official_too
        self.official = importlib.import_module(module_name(task))
        self.module = None

    def load(self) -> str:
        """Import the file by its path; the start of its SHA-256. Raises Failure where that fails, or trains."""
        source = self.path.read_bytes()
        own = Path(self.official.__file__)
        if not self.official_too and (self.path.samefile(own) or _code(source) == _code(own.read_bytes())):
            raise Failure("the code is yours", "a file of your own", f"{own.name}, as the repository has it",
                          "Which file did you write?")  # fmt: skip
        sys.path.insert(0, str(self.path.parent))
        spec = importlib.util.spec_from_file_location("learner", self.path)
        self.module = importlib.util.module_from_spec(spec)
        sys.modules["learner"] = self.module
        backward = torch.autograd.backward
        torch.autograd.backward = _refuse_to_train
        try:
            spec.loader.exec_module(self.module)
        except _Trained:
            raise Failure("importing does not train", "definitions alone", "a backward pass during the import",
                          'Does the training stand in main(), under if __name__ == "__main__"?') from None  # fmt: skip
        finally:
            torch.autograd.backward = backward
        return hashlib.sha256(source).hexdigest()[:12]

    def config(self, official: bool = False, **changes):
        """A Config at the sizes above, of those fields that the task has."""
        module = self.official if official else self.module
        wanted = {name: value for name, value in (SIZES | changes).items() if name in fields(self.official.Config)}
        known = fields(module.Config)
        return module.Config(**{name: value for name, value in wanted.items() if name in known})

    def build(self, official: bool = False, lively: float = 0.5, seed: int = 0, **changes) -> nn.Module:
        """A GPT in evaluation mode; with `lively`, all weights normal with that standard deviation."""
        torch.manual_seed(seed)
        module = self.official if official else self.module
        model = module.GPT(self.config(official, **changes), V)
        if lively:
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=lively)
        return model.eval()

    def line(self, error: BaseException) -> str:
        """The error, and the line of the learner's file that it came through last."""
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.path)
        ]
        if isinstance(error, SyntaxError):
            lines = [error.lineno]
        where = f" ({self.path.name}, line {lines[-1]})" if lines else ""
        message = (error.msg if isinstance(error, SyntaxError) else str(error)).strip().split("\n")[0]
        return f"{type(error).__name__}: {message}{where}"


def fields(config_class) -> set[str]:
    """The names that a Config takes."""
    if dataclasses.is_dataclass(config_class):
        return {field.name for field in dataclasses.fields(config_class)}
    return set(inspect.signature(config_class).parameters)


def tokens(rows: int = B, length: int = SIZES["block_size"], seed: int = 1) -> torch.Tensor:
    """Random tokens (rows, length)."""
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(seed))


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two tensors are equal but for rounding."""
    return bool((one - other).abs().max() <= tolerance * max(1.0, float(other.abs().max())))


def off(one: torch.Tensor, other: torch.Tensor) -> str:
    """By how much two tensors differ at most."""
    return f"{float((one - other).abs().max()):.2g}"


class _Trained(Exception):
    pass


def _refuse_to_train(*_, **__):
    raise _Trained


def _code(source: bytes) -> str:
    """What a file says, without comments, docstring and layout."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    if tree.body and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Constant):
        del tree.body[0]
    return ast.dump(tree)
