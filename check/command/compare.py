"""A learner's file next to the official one: what differs in kind, and the diff."""

import ast
import difflib

from exercises.build import source


def compare(task: str, mine: str) -> str:
    """What differs in kind, a line each, and a unified diff from the file to the official one."""
    official = source(task)
    kinds = "".join(f"# {line}\n" for line in differences(mine, official))
    lines = difflib.unified_diff(mine.splitlines(True), official.splitlines(True), "yours", f"{task}.py", n=2)
    return kinds + "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def differences(mine: str, official: str) -> list[str]:
    """What one file does that the other does not, in words."""
    try:
        one, two = traits(mine), traits(official)
    except SyntaxError as error:
        return [f"yours cannot be read: line {error.lineno}: {error.msg}"]
    return [f"{name}: yours {one[name]}, the official file {two[name]}" for name in one if one[name] != two[name]]


def traits(text: str) -> dict[str, str]:
    """How a file is made: layers, loops, masks, library functions."""
    tree = ast.parse(text)
    called = [_name(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    forwards = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "forward"]
    loops = sum(isinstance(node, ast.For | ast.While | ast.comprehension) for f in forwards for node in ast.walk(f))
    linear = sum(name == "Linear" for name in called)
    return {
        "lines of code": str(len(ast.unparse(without_docstrings(tree)).split("\n"))),
        "linear layers written down": str(linear),
        "loops in forward": str(loops),
        "a list of modules": "has one" if "ModuleList" in called else "has none",
        "the mask": "is a buffer" if "register_buffer" in called else "is made in each call, or is not a buffer",
        "attention": "is the library's" if "scaled_dot_product_attention" in called else "is written out",
        "products": "by einsum" if "einsum" in called else "by @ or matmul",
    }


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The same tree, in which docstrings are no longer there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return tree
