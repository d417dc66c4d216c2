"""A learner's training loop, as a function or as the lines of a script, run on a small problem.

The check's own model, optimizer, get_batch, get_lr, estimate_loss and settings are its arguments, or have these names
among its globals.
"""

import ast
import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from check.isolated.models import Loss, Noted, Table
from common.courses import ARGUMENTS, find_functions, global_names, in_order, meaning
from common.exercises import PARAMETERS

import torch

NAMES = PARAMETERS["train"][:10]  # log and save are arguments alone
UNCLEAR = ("steps", "schedule", "clip", "opt", "network", "net", "self")  # a script's own names, too


def given(function: Callable, values: dict[str, Any], module: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """A function's arguments, of those values that it takes; the module's globals that have others are set to them.

    Also the names of all values that reach it. Raises TypeError for an argument that nothing tells.
    """
    used = global_names(function)
    shared = {name: meant for name in module if name in used and (meant := meaning(name, values))}
    for name, meant in shared.items():
        if not isinstance(module[name], type):
            module[name] = values[meant]
    arguments = in_order(function, values)
    mine = [name for name, value in values.items() for each in arguments.values() if each is value]
    return arguments, {*mine, *shared.values()}


def find(module: Any, path: Path) -> dict:
    """Which loop a file has: the names of functions that train, or that the script does, and what estimate_loss is."""
    text = path.read_text(encoding="utf-8")
    names = find_functions(module, "train")
    if names != ["train"]:
        own = {name: each for name, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__}
        functions = {name: each for name, each in own.items() if hasattr(each, "__code__")}
        names = [name for name, function in functions.items() if "backward" in global_names(function)]
    loop = next((node for node in _body(ast.parse(text)) if _trains(node)), None) if not names else None
    used = {node.id for node in ast.walk(loop) if isinstance(node, ast.Name)} if loop else set()
    words = {meaning(name, dict.fromkeys(NAMES)) for name in used}
    missing = [name for name in ("model", "optimizer", "get_batch", "max_iters") if loop and name not in words]
    takes = list(inspect.signature(getattr(module, names[0])).parameters) if names else []
    return {"functions": names, "script": bool(loop), "missing": missing, "takes": takes, "sets_mode": _sets_mode(text)}


def run(module: Any, path: Path, batches: list, rates: list, losses: list, limits: list) -> list[dict]:
    """What the loop does, in order: batches, steps, evaluations, logs, checkpoints, lines printed."""
    events: list[dict] = []
    model, rows, answers = Table(V=8), iter(batches), iter(losses)
    found = find(module, path)

    def note(kind: str, **more: Any) -> None:
        events.append({"kind": kind, "training": model.training, **more})

    def get_batch(*_: Any, **__: Any) -> Any:
        note("batch")
        for batch in rows:
            return tuple(batch)
        raise RuntimeError(
            f"get_batch gave more than {len(batches)} batches, max_iters times gradient_accumulation_steps"
        )

    def get_lr(n: int) -> float:
        if n >= len(rates):
            raise RuntimeError(f"get_lr({n}): iterations are counted from 0 to max_iters - 1")
        return rates[n]

    def estimate_loss(*_: Any, **__: Any) -> Loss:
        if found["sets_mode"]:
            model.eval()
        note("evaluation")
        if found["sets_mode"]:
            model.train()
        return Loss(next(answers))

    def log(n: int, loss: float, rate: float) -> None:
        note("log", n=int(n), loss=float(loss), lr=float(rate))

    def save(n: int, loss: float) -> None:
        note("save", loss=float(loss))

    def told(*values: Any, **_: Any) -> None:
        note("print", text=" ".join(map(str, values)))

    values = [model, Noted(model, events), get_batch, get_lr, estimate_loss, *limits, log, save]
    known = dict(zip(PARAMETERS["train"], values, strict=True))
    wandb = SimpleNamespace(log=told, init=lambda **_: SimpleNamespace(log=told))
    other = {"tqdm": lambda rows, **_: rows, "print": told, "wandb": wandb}
    with patch.object(torch, "save", lambda *_, **__: note("save")):
        if found["functions"]:
            _run_function(getattr(module, found["functions"][0]), known, vars(module), other)
        else:
            _run_script(path, known, other)
    return events


def _run_function(function: Callable, known: dict, module: dict, other: dict) -> None:
    module.update(other)
    arguments, reached = given(function, known, module)
    for name in ("model", "optimizer", "get_batch"):
        if name not in reached:
            raise TypeError(f"neither an argument nor a global gives {function.__name__} its {name}")
    function(**arguments)


class Names(dict):
    """A script's names, of which the check's own stay as they are."""

    def __init__(self, fixed: dict[str, Any]):
        super().__init__(fixed)
        self.fixed = fixed
        self.shared = fixed | {"__name__": "__main__"}  # what functions of the script see

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self.fixed:
            super().__setitem__(name, value)
            self.shared[name] = value


def _run_script(path: Path, known: dict, other: dict) -> None:
    """The lines up to the loop and the loop; of lines before it those that fail (a file that is not here) are left."""
    words = {word: known[name] for name in NAMES for word in (name, *ARGUMENTS.get(name, "").split())}
    fixed = {word: value for word, value in words.items() if word not in UNCLEAR} | other
    names = Names(fixed)
    for node in _body(ast.parse(path.read_text(encoding="utf-8"))):
        assigned = [each for target in getattr(node, "targets", []) for each in ast.walk(target)]
        targets = {each.id for each in assigned if isinstance(each, ast.Name)}
        if targets and targets <= fixed.keys():
            continue
        code = compile(ast.Module([node], []), str(path), "exec")
        if _trains(node):
            exec(code, names.shared, names)
            return
        with contextlib.suppress(Exception):
            exec(code, names.shared, names)


def _body(tree: ast.Module) -> list[ast.stmt]:
    """The statements of a script, those under if __name__ == "__main__" among them."""
    return [
        each
        for node in tree.body
        for each in (node.body if isinstance(node, ast.If) and "__main__" in ast.dump(node.test) else [node])
    ]


def _trains(node: ast.stmt) -> bool:
    return not isinstance(node, ast.FunctionDef | ast.ClassDef) and ".backward(" in ast.unparse(node)


def _sets_mode(text: str) -> bool:
    """Whether estimate_loss itself goes to evaluation mode."""
    named = [node for node in ast.walk(ast.parse(text)) if getattr(node, "name", "") == "estimate_loss"]
    return any(".eval(" in ast.unparse(node) for node in named)
