"""Write the starter files from the lessons and pieces: python -m exercises.build

A starter is its official file without the bodies of what it is about, so the two cannot drift apart; a test builds
them anew and compares. Pieces are functions that stand alone.
"""

import ast
import inspect
import json
import re
import statistics
import textwrap
from importlib import import_module
from pathlib import Path

from exercises.briefs import BRIEFS
from exercises.hints import HINTS

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "logs"
WIDTH = 100

# What the learner writes: functions, and methods as Class.method.
LEFT_OUT = {
    "task01": ["causal_mask", "attention", "SelfAttention.__init__", "SelfAttention.forward"],
    "task02": ["SelfAttention.__init__", "SelfAttention.forward"],
    "task03": ["FeedForward.__init__", "FeedForward.forward", "GPT.forward"],
    "task04": ["Block.__init__", "Block.forward", "GPT.forward"],
    "task05": ["SelfAttention.__init__", "SelfAttention.forward", "FeedForward.__init__", "Block.forward"],
    "task06": ["Block.__init__", "Block.forward", "GPT.forward"],
    "task07": ["attention", "SelfAttention.__init__", "SelfAttention.forward", "FeedForward.__init__"],
    "task09_rope": ["rotation_angles", "rotate", "SelfAttention.__init__", "SelfAttention.forward"],
    "attention": ["causal_mask", "attention"],
    "positions": ["positional_encoding"],
    "self_attention": ["CausalSelfAttention.__init__", "CausalSelfAttention.forward"],
    "multi_head_attention": ["MultiHeadCausalSelfAttention.__init__", "MultiHeadCausalSelfAttention.forward"],
    "mlp": ["MLP.__init__", "MLP.forward"],
    "block": ["Block.__init__", "Block.forward"],
    "gpt": ["GPT.__init__", "GPT.forward", "GPT.configure_optimizers", "GPT.generate"],
    "transformer": [
        "positional_encoding",
        "attention",
        "causal_mask",
        "Block.__init__",
        "Block.forward",
        "Transformer.__init__",
        "Transformer.forward",
    ],
    "encoder": ["Encoder.__init__", "Encoder.forward"],
    "optimizers": ["configure_optimizers"],
    "schedule": ["get_lr"],
    "training": ["train"],
    "generate": ["generate"],
}


def module_name(task: str) -> str:
    """The module that holds a task's or piece's official code."""
    return task if task.startswith("task") else f"exercises.official.{task}"


def official_path(task: str) -> Path:
    """The file that holds it."""
    return ROOT / f"{module_name(task).replace('.', '/')}.py"


def official_signature(task: str, function: str) -> inspect.Signature:
    """How the official function is called."""
    return inspect.signature(getattr(import_module(module_name(task)), function))


def source(task: str) -> str:
    """The official code."""
    return official_path(task).read_text(encoding="utf-8")


def starter(task: str) -> str:
    """The text of a task's or piece's starter file."""
    text = source(task)
    lines = text.split("\n")
    for first, last, indent, name in sorted(_bodies(ast.parse(text), LEFT_OUT[task]), reverse=True):
        steps = [] if task.startswith("task") else _steps(lines, first, last, indent)
        lines[first - 1 : last] = [*steps, f'{" " * indent}raise NotImplementedError("write {name}")']
    doc = ast.parse(text).body[0]
    title = lines[0].removeprefix('"""').rstrip(".")
    lines[: doc.end_lineno] = [f'"""{title}: yours to write.', "", *explanation(task), '"""']
    return "\n".join(lines)


def explanation(task: str) -> list[str]:
    """The lines of a starter's docstring after its title."""
    check = f"Check it: python -m check {task} FILE; hints: python -m check {task} --hint "
    if task not in BRIEFS:
        first = HINTS[task][0]
        if any(line.strip().startswith("# ") for line in source(task).split('"""', 2)[2].splitlines()):
            first = "The comments are the steps. B batch (in some courses N), T time, C width, H heads of size D."
        return [*textwrap.wrap(first, WIDTH), "", f"{check}2"]
    brief = BRIEFS[task]
    drawing = textwrap.dedent(brief.shapes).strip("\n").split("\n")
    return [
        *textwrap.wrap(brief.idea, WIDTH),
        "",
        *(f"    {line}" for line in drawing),
        "",
        f"    {brief.formula}",
        "",
        *textwrap.wrap(f"What you cannot guess: {brief.given}", WIDTH),
        "",
        *textwrap.wrap(f"Paper: {brief.paper}", WIDTH, break_on_hyphens=False),
        f"Expect: {expected(task)}",
        f"{check}1",
    ]


def expected(task: str) -> str:
    """The loss and the time of the documented run, from the logs."""
    _, _, documented = json.loads((ROOT / "docs" / "logs" / "documented.json").read_text()).get(task, [[0, 0, 0]])[-1]
    logs = [path.read_text(encoding="utf-8") for path in sorted(LOGS.glob(f"{task}.txt")) or _laptop_logs(task)]
    seconds = statistics.mean(float(re.findall(r"^# (\d+) s from", log, re.MULTILINE)[0]) for log in logs)
    if task not in ("task07", "task09_rope"):
        return f"a validation loss of {documented:.4f} at the end, after {seconds:.0f} seconds on one core"
    losses = [float(re.findall(r"([\d.]+) over random batches", log)[0]) for log in logs]
    return (
        f"a validation loss near {statistics.mean(losses):.2f} with the preset laptop, after about "
        f"{seconds / 60:.0f} minutes"
    )


def _laptop_logs(task: str) -> list[Path]:
    return sorted(LOGS.glob(f"{task}_seed*.txt"))


def _steps(lines, first, last, indent):
    """The comment lines of a body, and those right above it: the steps that a piece's starter names."""
    inside = [line.strip() for line in lines[first - 1 : last] if line.strip().startswith("#")]
    return [" " * indent + line for line in inside]


def _bodies(tree, names):
    """(first line, last line, indentation, name) of the bodies to leave out; a docstring stays."""
    for node in tree.body:
        parts = (
            [(f"{node.name}.{part.name}", part) for part in node.body if isinstance(part, ast.FunctionDef)]
            if (isinstance(node, ast.ClassDef))
            else [(getattr(node, "name", ""), node)]
        )
        for name, part in parts:
            if name in names:
                body = part.body
                if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
                    body = body[1:]
                if name.endswith("__init__"):
                    body = body[1:]  # super().__init__() stays
                yield body[0].lineno, body[-1].end_lineno, body[0].col_offset, name


def main():
    for task in LEFT_OUT:
        (ROOT / "exercises" / f"{task}.py").write_text(starter(task), encoding="utf-8")


if __name__ == "__main__":
    main()
