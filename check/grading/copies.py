"""Which files have a common origin? Function by function: how much of each function of one file is in one of another.

Names, comments, layout and order do not count, and functions of the starter are left out. docs/teaching.md says what a
match means.
"""

import ast
import re
from collections.abc import Iterator
from itertools import combinations

from exercises.build import source, starter

RUN = 5  # nodes of syntax in a row
LIMIT = 0.8  # of the runs of the smaller file
LEAST = 60  # runs that a file must have of its own to be compared at all
MOST_NODES = 20_000  # of a file that are looked at
LONGEST = 2**17  # characters of a file that is compared
Functions = list[frozenset[tuple]]


def groups(codes: dict[str, tuple[str, str]]) -> list[tuple[float, list[str]]]:
    """Name → (task, code) to groups of two and more names of one origin, with the least similarity of a link in each.

    The official file of a task is called "the official task03".
    """
    tasks = {task for task, _ in codes.values()}
    everything = codes | {f"the official {task}": (task, source(task)) for task in tasks}
    given = {task: set(_functions(starter(task))) for task in tasks}  # with the starter, not one's own
    functions = {
        name: [runs for runs in _functions(code) if runs and runs not in given[task]]
        for name, (task, code) in everything.items()
    }
    pairs = (pair for pair in combinations(everything, 2) if everything[pair[0]][0] == everything[pair[1]][0])
    links = {(a, b): share for a, b in pairs if (share := similarity(functions[a], functions[b])) >= LIMIT}
    group_of: dict[str, list[str]] = {name: [name] for name in everything}
    for one, other in links:
        if group_of[one] is not group_of[other]:
            joined = group_of[one] + group_of[other]
            group_of |= dict.fromkeys(joined, joined)
    distinct = {id(group): group for group in group_of.values() if len(group) > 1}
    return [(min(share for pair, share in links.items() if pair[0] in group), group) for group in distinct.values()]


def similarity(one: Functions, other: Functions) -> float:
    """The share of the smaller file's functions, by size, that is in the other's best fitting ones; tiny files: 0."""
    small, large = sorted((one, other), key=lambda functions: sum(map(len, functions)))
    total = sum(map(len, small))
    if total < LEAST:
        return 0.0
    return sum(max((len(function & each) for each in large), default=0) for function in small) / total


def _functions(code: str) -> Iterator[frozenset[tuple]]:
    """The runs of syntax of each function."""
    if len(code) > LONGEST:
        return
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    left = MOST_NODES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and left > 0:
            tokens = list(_tokens(node, left))
            left -= len(tokens)
            yield frozenset(tuple(tokens[i : i + RUN]) for i in range(len(tokens) - RUN + 1))


def _tokens(node: ast.AST, most: int) -> Iterator[str]:
    """The syntax of a function, depth first: kinds, constants, and the names of what it calls, not its own names."""
    stack: list[ast.AST] = [node]
    while stack and most > 0:
        each = stack.pop()
        most -= 1
        if isinstance(each, ast.Constant):
            is_text = isinstance(each.value, str) and not re.fullmatch(r"\W*inf\W*", each.value)
            yield "text" if is_text else repr(each.value)
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
            yield f"call {each.func.attr}"
        elif not isinstance(each, ast.Load | ast.Store | ast.arguments | ast.arg):
            yield type(each).__name__
        if not isinstance(each, ast.Expr) or not isinstance(each.value, ast.Constant):  # a docstring
            types = [getattr(each, name, None) for name in ("annotation", "returns")]
            stack += reversed([child for child in ast.iter_child_nodes(each) if child not in types])
