"""The changes of task 9 in variants/: their right forms, the bugs that learners write, and their own parameters.

`extras` finds the parameters that only a change has, and `place` puts them where the reference looks for them. What a
form computes is in changed.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from check.judge.matching import Sizes
    from check.judge.reference import Task, Weights

import torch

NAMES = {  # change → what it is called
    "rmsnorm": "RMSNorm",
    "swiglu": "SwiGLU",
    "qk_norm": "normalized queries and keys",
    "grouped_queries": "grouped queries",
    "sliding_window": "a sliding window",
    "gate": "a gate after attention",
    "value_residual": "a value residual",
    "convolutions": "short convolutions",
    "alibi": "ALiBi",
}
SETTINGS = {  # change → the field of Config that it adds, by its names
    "grouped_queries": "n_kv_head n_kv_heads num_kv_heads num_key_value_heads num_kv_groups n_kv_groups n_query_groups "
    "n_local_heads kv_heads",
    "sliding_window": "window window_size sliding_window sliding_window_size attention_window local_window",
}
# How values are mixed → by how many numbers.
MIXES = {"half": 0, "sum": 0, "share": 1, "added": 1, "other share": 1, "two": 2, "two exchanged": 2}
RIGHT: dict[str, list[dict[str, Any]]] = {  # what differs from task 9's form
    "rmsnorm": [{"norm_kind": "rms"}, {"norm_kind": "rms", "gain_offset": 1.0}],
    "swiglu": [{"gated": "silu"}],
    "qk_norm": [{"qk_norm": kind} for kind in ("rms", "layer", "l2 and a factor")],
    "grouped_queries": [{"grouped": "interleave"}],
    "sliding_window": [{"window": "right"}],
    "gate": [{"gate": "sigmoid"}],
    "value_residual": [{"first_values": kind} for kind in MIXES],
    "convolutions": [{"convolved": kind} for kind in ("residual", "residual and now", "now")],
    "alibi": [{"slopes": "alibi"}, {"slopes": "reversed"}],
}
Bug = tuple[str, str, dict[str, Any]]
NORM = "What does RMSNorm divide by, and what is not subtracted?"
JOINED = "What is done to each product before they meet?"
QK = "Which vectors are normalized, over which axis, and before or after they are turned?"
HEADS = "Which head of keys and values do query heads 0, 1 and 2 share: the same, or the first three?"
WINDOW = "How many positions may a query look at, itself included?"
GATED = "What does the gate read, which function opens it, and what does it multiply?"
FIRST = "Which block's values are kept, and what are they added to?"
SHIFTED = "Which earlier position is each share for, and is the position itself kept?"
SLOPES = "What is the slope of the first head of four, and what is it multiplied by?"
BUGS: dict[str, list[Bug]] = {
    "rmsnorm": [
        ("with the mean subtracted, as in LayerNorm", NORM, {"norm_kind": "layer"}),
        ("with norms divided by the root of the sum of squares, not of their mean", NORM, {"norm_kind": "l2"}),
        ("with norms divided by the mean of the squares, without the root", NORM, {"norm_kind": "no root"}),
        ("with norms divided by the mean of the absolute values", NORM, {"norm_kind": "absolute"}),
        ("with norms divided by the largest value", NORM, {"norm_kind": "largest"}),
        ("with norms over the positions", "Over which axis is the mean?", {"norm_kind": "positions"}),
        ("without the division", NORM, {"norm_kind": "none"}),
    ],
    "swiglu": [
        *((f"with {kind} as the gate's activation", "Which activation does SwiGLU have?", {"gated": kind})
          for kind in ("gelu", "sigmoid", "relu", "tanh")),
        ("without an activation in the gate", "Which activation does SwiGLU have?", {"gated": "none"}),
        ("with SiLU of both products", JOINED, {"gated": "both"}),
        ("with SiLU of the product", JOINED, {"gated": "after"}),
        ("with a sum in place of the product", "How do the two meet?", {"gated": "sum"}),
        ("with one product that changes nothing", "Where is each of the two used?", {"gated": "alone"}),
    ],
    "qk_norm": [
        ("without norms of queries and keys", "Which line uses them?", {"qk_norm": ""}),
        ("with norms of the queries alone", QK, {"qk_normed": "q"}),
        ("with norms of the keys alone", QK, {"qk_normed": "k"}),
        ("with values normalized, too", QK, {"qk_normed": "qkv"}),
        ("with norms after the rotation, whose gains then turn with it", QK, {"qk_late": True}),
        ("with norms over all heads at once", QK, {"qk_norm": "all heads"}),
        ("with norms over the positions", QK, {"qk_norm": "positions"}),
        ("with vectors of length 1, whose products are then divided, too", QK, {"qk_norm": "l2"}),
    ],
    "grouped_queries": [
        ("with heads of keys and values in turn, not in groups", HEADS, {"grouped": "tile"}),
        ("with the first head of keys and values for all", HEADS, {"grouped": "first"}),
        ("with groups in the reverse order", HEADS, {"grouped": "reversed"}),
        ("with the mean of all heads of keys and values", HEADS, {"grouped": "mean"}),
    ],
    "sliding_window": [
        ("with a window that is one too long", WINDOW, {"window": "long"}),
        ("with a window that is one too short", WINDOW, {"window": "short"}),
        ("with a window in both directions", "Which side of a position is the future?", {"window": "both"}),
        ("without its window", "Where are the scores of far positions hidden?", {"window": "none"}),
        ("with blocks side by side in place of a window", "Does the window move with the query?", {"window": "blocks"}),
        ("with every second position of the past", "Which positions are near?", {"window": "dilated"}),
        ("with what is in the window hidden", "What does True mean in the mask?", {"window": "far"}),
        ("with the first position visible to all", "Is the first position in the window?", {"window": "first"}),
    ],
    "gate": [
        *((f"with {kind} in place of the sigmoid", GATED, {"gate": kind}) for kind in ("tanh", "silu", "relu")),
        ("without the sigmoid", GATED, {"gate": "none"}),
        ("with a softmax in place of the sigmoid", GATED, {"gate": "softmax"}),
        ("with a gate that is added", GATED, {"gate": "added"}),
        ("with a gate after the projection", GATED, {"gate": "after the projection"}),
        ("with a gate on the values, before they are averaged", GATED, {"gate": "values"}),
        ("with a gate that reads the stream, not its norm", GATED, {"gate_of": "stream"}),
        ("without its gate", GATED, {"gate": "open"}),
        ("with twice the sigmoid", GATED, {"gate": "twice"}),
    ],
    "value_residual": [
        ("without the first block's values", FIRST, {"first_values": "none"}),
        *(("with the previous block's values", FIRST, {"first_values": f"{n} of previous"}) for n in MIXES),
        *(("with keys mixed, too", FIRST, {"first_values": f"{n} of keys"}) for n in MIXES),
        *(("with queries mixed in place of values", FIRST, {"first_values": f"{n} of queries"}) for n in MIXES),
        ("with the first block's values alone", FIRST, {"first_values": "alone"}),
        ("with a difference in place of a sum", FIRST, {"first_values": "difference"}),
        *(("with mixed values handed on", FIRST, {"first_values": f"{n} of mixed"}) for n in MIXES),
    ],
    "convolutions": [
        ("with shares of later positions", SHIFTED, {"convolved": "ahead"}),
        ("with the first position repeated before the start", "What is before it?", {"convolved": "repeated"}),
        ("with a text whose end comes before its start",
         "What is before the first position?", {"convolved": "circular"}),
        ("without the position itself", SHIFTED, {"convolved": "past"}),
        ("without its convolutions", "Which line uses the shares?", {"convolved": "none"}),
        ("with the position itself twice", SHIFTED, {"convolved": "twice"}),
        ("with shares from two positions back on", SHIFTED, {"convolved": "late"}),
        ("with shares that are subtracted", SHIFTED, {"convolved": "minus"}),
        ("with shares of every second position", SHIFTED, {"convolved": "dilated"}),
    ],
    "alibi": [
        ("with slopes from 1 on, the first head's too large", SLOPES, {"slopes": "from 0"}),
        ("with slopes 1/2, 1/4, 1/8 for any number of heads", SLOPES, {"slopes": "halves"}),
        ("with one slope for all heads", SLOPES, {"slopes": "same"}),
        ("with slopes that raise far scores", "Are far scores lowered?", {"slopes": "raised"}),
        ("with distances that are divided like the scores", "What is divided by √head_size?", {"slopes": "scaled"}),
        ("with the logarithm of the distance", SLOPES, {"slopes": "logarithm"}),
        ("with the square of the distance", SLOPES, {"slopes": "square"}),
        ("without distances", SLOPES, {"slopes": "none"}),
        ("with linear slopes", SLOPES, {"slopes": "linear"}),
    ],
}  # fmt: skip


def right(task: Task) -> list[dict[str, Any]]:
    """How the right forms of a task differ from task 9's; a file with ReLU² is task 9 with another activation."""
    return [each for each in RIGHT.get(_kind(task), [{}]) if _possible(task, each)]


def bugs(task: Task) -> list[Bug]:
    """The bugs of a task's change that its parameters allow."""
    return [each for each in BUGS.get(_kind(task), []) if _possible(task, each[2])]


def _kind(task: Task) -> str:
    return "" if task.activation == "relu²" else task.change


def _possible(task: Task, form: dict[str, Any]) -> bool:
    """Whether a change's own parameters, of which each block has `numbers`, are those of a form."""
    mix = form.get("first_values", "").partition(" of ")[0]
    if mix in MIXES:
        return MIXES[mix] == task.numbers
    if mix == "difference":
        return task.numbers == 1
    return form.get("qk_norm") != "l2 and a factor" or task.numbers > 0


# Parameters


def extras(task: Task, names: Sequence[str], owners: Sequence[str], shapes: Sequence, sizes: Sizes) -> list[int]:
    """The parameters that only this change has, at sizes that tell kinds apart."""
    numbers = [shape.numel() for shape in shapes]
    if task.change == "qk_norm":
        return [i for i, n in enumerate(numbers) if n in (1, sizes.D, sizes.H)]
    if task.change == "value_residual":
        return [i for i, n in enumerate(numbers) if n <= 2 * sizes.L]
    if task.change == "convolutions":
        kernel = re.compile(r"conv|kernel|share|canon|taps|shift", re.IGNORECASE)
        named = [kernel.search(f"{owner} {name}") for owner, name in zip(owners, names, strict=True)]
        return [i for i, n in enumerate(numbers) if named[i] and n in range(sizes.C, 6 * sizes.C, sizes.C)]
    return []


def place(task: Task, made: Weights, inner: list[list], outer: list, sizes: Sizes) -> None:
    """Put a change's own parameters into the weights: `inner` of each block, `outer` of none, lists of lists."""
    kept: dict[str, torch.Tensor] = {}
    for number, block in enumerate(made["blocks"]):
        block |= {"number": number, "kept": kept, "window": sizes.window}
    if task.change == "qk_norm":
        for block, own in zip(made["blocks"], inner, strict=True):
            vectors = [value.flatten() for values in own for value in values]
            gains = [vector for vector in vectors if len(vector) == sizes.D]
            block["gains"] = gains if len(gains) != 4 else [gains[0], gains[2], gains[1], gains[3]]  # then biases
            factors = [v.view(-1, 1, 1) for v in vectors if len(v) in (1, sizes.H) and len(v) < sizes.D]
            block["factor"] = factors[0] if factors else 1
    if task.change == "value_residual":
        _mixes(made["blocks"], inner, [value.flatten() for values in outer for value in values])
    if task.change == "convolutions":
        made["kernels"] = {"embedding": _kernel(outer[0])} if outer else {}
        for block, own in zip(made["blocks"], inner, strict=True):
            own = [values for values in own if values[0].numel() > 1 or len(values) > 1]
            block["kernels"] = {f"norm{number}": _kernel(values) for number, values in enumerate(own, 1)}


def _mixes(blocks: list[Weights], inner: list[list], outer: list[torch.Tensor]) -> None:
    """The one or two numbers with which each block mixes values."""
    values = torch.cat(outer) if outer else torch.zeros(0)
    if len(values) % len(blocks) and len(values):  # the first block has none
        each = len(values) // (len(blocks) - 1)
        values = torch.cat([torch.zeros(each), values])
    own = [torch.cat([v.flatten() for part in parts for v in part]) if parts else None for parts in inner]
    for block, number, mix in zip(blocks, range(len(blocks)), own, strict=True):
        each = len(values) // len(blocks)
        block["mix"] = mix if mix is not None else values[number * each : (number + 1) * each]


def _kernel(values: list[torch.Tensor]) -> torch.Tensor:
    """Shares (taps, C), of the nearest position first; of nn.Conv1d's (C, 1, taps), the last tap is the nearest."""
    if len(values) > 1:
        return torch.stack([value.flatten() for value in values])
    value = values[0].squeeze()
    if values[0].ndim == 3:
        return value.T.flip(0)
    return value if value.shape[0] < value.shape[1] else value.T
