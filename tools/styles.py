"""Transformations into other ways to write the same code: the check must not depend on them.

Each style takes the text of a file and returns another with the same meaning, or None if it finds nothing to change.
"""

import ast
import re
from collections.abc import Callable

from exercises import build
from exercises.catalogue import CHANGES, TASKS

NAMES = {  # of the lessons' attributes
    "token_embedding": "wte",
    "position_embedding": "wpe",
    "key": "W_k",
    "query": "W_q",
    "value": "W_v",
    "qkv": "c_attn",
    "projection": "c_proj",
    "attention": "sa",
    "feed_forward": "ffwd",
    "attention_norm": "ln1",
    "feed_forward_norm": "ln2",
    "final_norm": "ln_f",
    "lm_head": "head",
    "blocks": "h",
    "layers": "net",
    "dropout": "drop",
    "scale": "factor",
}
FUSED = (
    "heads = self.qkv(x).view(B, T, self.n_head, -1).transpose(1, 2)  # (B, H, T, 3D)\n"
    "        k, q, v = heads.chunk(3, dim=-1)"
)


def official(text: str) -> str | None:
    """As it is."""
    return text


def renamed(text: str) -> str | None:
    """Other names for the attributes; in a piece, for the local variables."""
    if "class GPT" not in text:
        return _renamed_locals(text)
    return re.sub(r"\bself\.(\w+)\b", lambda found: f"self.{NAMES.get(found[1], found[1])}", text)


def separate_with_biases(text: str) -> str | None:
    """A layer for each of query, key and value, with biases."""
    if "self.key = nn.Linear" in text:  # task 1
        layer = r"(self\.(?:key|query|value) = nn\.Linear\(config\.n_embd, config\.head_size), bias=False\)"
        return re.sub(layer, r"\1)", text)
    layer = r"        self\.qkv = nn\.Linear\(config\.n_embd, 3 \* config\.n_embd, bias=False\)[^\n]*\n"
    layers = "".join(f"        self.{name} = nn.Linear(config.n_embd, config.n_embd)\n" for name in "qkv")
    made = re.sub(layer, layers, text)
    if made == text or FUSED not in text:
        return None
    split = "(layer(x).view(B, T, self.n_head, -1).transpose(1, 2) for layer in (self.k, self.q, self.v))"
    return made.replace(FUSED, f"k, q, v = {split}")


def merged(text: str) -> str | None:
    """Thirds of one product, heads merged into the batch, torch.bmm."""
    if FUSED not in text or ", self.scale" not in text:
        return None
    parts = "(part.view(B, T, self.n_head, -1).transpose(1, 2).flatten(0, 1) for part in self.qkv(x).chunk(3, dim=-1))"
    text = text.replace(FUSED, f"q, k, v = {parts}")
    text = re.sub(r"(x = attention\([^\n]*\))(  # \(B, H, T, D\))", r"\1.unflatten(0, (B, -1))\2", text)
    text = text.replace("q @ k.transpose(-2, -1)", "torch.bmm(q, k.transpose(1, 2))")
    return text.replace("return weights @ v", "return torch.bmm(weights, v)")


def method_of_gpt(text: str) -> str | None:
    """A piece's functions as they would be in a class GPT."""
    if "class GPT" in text:
        return None
    tree = ast.parse(text)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    if len(functions) != 1 or functions[0].args.args[0].arg != "model" or functions[0].name == "train":
        return None  # GPT.train would hide nn.Module.train
    others = [node for node in tree.body if node not in functions]
    methods = ast.ClassDef("GPT", [ast.parse("torch.nn.Module", mode="eval").body], [], [*functions], [])
    return ast.unparse(ast.fix_missing_locations(ast.Module([*others, methods], [])))


def whole(text: str) -> str | None:
    """A change of task 9 in one file with task 9, whose classes it takes further under their own names."""
    if "import task09_rope" not in text or "task07." in text:
        return None
    task09 = build.source("task09_rope").partition("\n\ndef main()")[0]
    own = re.sub(r"^(import task09_rope|from task09_rope import .*)\n", "", text, flags=re.MULTILINE)
    return f"{task09}\n\n{own.replace('task09_rope.', '')}"


def unparsed(text: str) -> str | None:
    """Another layout, without comments."""
    return ast.unparse(ast.parse(text))


def _renamed_locals(text: str) -> str:
    tree = ast.parse(text)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        parameters = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in stored - parameters:
                node.id = f"my_{node.id}"
    return ast.unparse(tree)


STYLES: dict[str, Callable[[str], str | None]] = {
    style.__name__: style for style in (official, renamed, separate_with_biases, merged, method_of_gpt, whole, unparsed)
}


def in_styles(task: str, text: str) -> dict[str, str]:
    """Style → the text in it, where the style finds something to change."""
    own = ["renamed"] + (["separate_with_biases", "merged"] if task in TASKS else ["method_of_gpt"])
    own = ["whole"] if task in CHANGES else own  # a short file takes names from task 9
    made: dict[str, str | None] = {}
    for name in ["official", *own, "unparsed"]:
        try:
            made[name] = STYLES[name](text)
        except SyntaxError:  # a bug that is not Python
            made[name] = None
    return {name: styled for name, styled in made.items() if styled is not None}
