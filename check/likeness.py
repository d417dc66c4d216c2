"""Which files are the same, or nearly, but for names, comments and layout?

What a starter gives everyone says nothing, so definitions that stand in it are left out of the comparison. Nearly the
same: of the short runs of syntax that two files are made of, nine in ten stand in both. That is a reason to look, no
proof: there are few ways to write a short function.
"""

import ast
import copy
import hashlib
from functools import cache
from itertools import combinations

from exercises.build import source, starter

RUN = 6  # nodes of syntax
NEAR = 0.9
SHOWN = 3  # names of one kind
LEAST = 60  # runs that a file must have of its own to be compared at all


def fingerprint(code: str) -> str:
    """The same for two files that differ in comments, docstrings, layout and names alone."""
    try:
        return hashlib.sha256(_plain(ast.parse(code)).encode()).hexdigest()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hashlib.sha256(code.encode()).hexdigest()


def runs(code: str, task: str) -> frozenset[str]:
    """The short runs of syntax of the parts that the starter does not hold."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    given = _given(task)
    parts = [part for part in _parts(tree) if _plain(part) not in given]
    tokens = [token for part in parts for token in _tokens(part)]
    return frozenset(" ".join(tokens[i : i + RUN]) for i in range(len(tokens) - RUN + 1))


def alike(codes: dict[str, tuple[str, str]]) -> dict[str, list[str]]:
    """Name → (task, code) to name → what it is like, in words: other files of its task, and the official one."""
    found: dict[str, dict[str, list[str]]] = {name: {} for name in codes}
    tasks = {task for task, _ in codes.values()}
    everything = codes | {f"the official {task}": (task, source(task)) for task in tasks}
    prints = {name: fingerprint(code) for name, (_, code) in everything.items()}
    pieces = {name: runs(code, task) for name, (task, code) in everything.items()}
    for one, two in combinations(everything, 2):
        if everything[one][0] != everything[two][0]:
            continue
        if prints[one] == prints[two]:
            said = "the same code as"
        elif min(len(pieces[one]), len(pieces[two])) >= LEAST and _overlap(pieces[one], pieces[two]) >= NEAR:
            said = f"{_overlap(pieces[one], pieces[two]):.0%} the same as"
        else:
            continue
        for name, other in ((one, two), (two, one)):
            if name in found:
                found[name].setdefault(said, []).append(other)
    return {name: [f"{said} {_some(others)}" for said, others in each.items()] for name, each in found.items()}


def _some(names: list[str]) -> str:
    """Three names at most, and how many more."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _overlap(one: frozenset[str], two: frozenset[str]) -> float:
    return len(one & two) / len(one | two)


@cache
def _given(task: str) -> frozenset[str]:
    return frozenset(_plain(part) for part in _parts(ast.parse(starter(task))))


def _parts(tree: ast.Module) -> list[ast.AST]:
    """Functions, methods, and what else stands in classes and at the top."""
    parts: list[ast.AST] = []
    for node in tree.body:
        parts += node.body if isinstance(node, ast.ClassDef) else [node]
    return parts


def _plain(tree: ast.AST) -> str:
    """Its syntax without docstrings, with names in the order in which they come."""
    tree = copy.deepcopy(tree)
    own = set(filter(None, (_defined(node) for node in ast.walk(tree))))
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        _drop_docstring(node)
        for field in ("id", "arg", "name", "attr"):
            value = getattr(node, field, None)
            if isinstance(value, str) and value in own:  # torch's names stay: tril is not triu
                setattr(node, field, names.setdefault(value, f"n{len(names)}"))
    return ast.dump(tree)


def _defined(node: ast.AST) -> str | None:
    """The name that a piece of syntax gives to something."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.id if isinstance(node, ast.Name) else node.attr
    return None


def _tokens(tree: ast.AST) -> list[str]:
    """The kinds of its nodes, constants with their values, names without theirs."""
    tree = copy.deepcopy(tree)
    for node in ast.walk(tree):
        _drop_docstring(node)
    return [repr(n.value) if isinstance(n, ast.Constant) else type(n).__name__ for n in ast.walk(tree)]


def _drop_docstring(node: ast.AST) -> None:
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            del body[0]
