"""Sorts a learner's parameters by what they can be, whatever their names: the first part of matching.

`read` sorts them by their number of elements, by owner and by block, at sizes that tell all kinds apart (`telling`); at
other sizes the same index has the same place. arrangements.py goes on from there.
"""

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from check.judge import changes
from check.judge.reference import Task
from check.judge.result import Undecided

import torch

MODULES = ("Linear", "Embedding", "LayerNorm", "NonDynamicallyQuantizableLinear", "MultiheadAttention")
# Kind of a matrix → the axes that it writes and those that it reads. Any order of these is a layout, in any grouping
# into dimensions that does not mix the two: (3C, C), (H, C, 3D), (C, 3, H, D), … nn.Linear has written axes first.
AXES = {
    "table": (("V",), ("in",)),
    "output": (("V",), ("in",)),
    "table of heads": (("V",), ("head", "dim")),
    "position": (("T",), ("in",)),
    "whole": (("head", "dim"), ("in",)),  # queries, keys or values of all heads
    "pair": (("pair", "head", "dim"), ("in",)),  # two of the three
    "fused": (("head", "role", "dim"), ("in",)),  # all three
    "piece": (("dim",), ("in",)),  # of one head
    "fused piece": (("role", "dim"), ("in",)),
    "merge": (("out",), ("head", "dim")),  # what reads the heads' outputs: the projection, or task 3's feed-forward
    "merge piece": (("out",), ("dim",)),  # of one head
    "widen": (("hidden",), ("in",)),
    "narrow": (("out",), ("hidden",)),
    "widen pair": (("pair", "hidden"), ("in",)),  # the two of a gated MLP
    "kv": (("kv", "dim"), ("in",)),  # keys or values, of fewer heads
    "kv pair": (("pair", "kv", "dim"), ("in",)),
    "gate": (("hidden",), ("in",)),
    "head gate": (("head", "dim"), ("in",)),  # of attention's output
    "groups": (("groups", "dim"), ("in",)),  # queries, keys and values, of which the last two have fewer heads
}
OTHER_USE = {"widen": "narrow", "whole": "merge"}  # of matrices with as many numbers
Layout = tuple[str, ...]
NORM_WORDS = r"norm|ln|gain|gamma|beta|shift"


class Unreadable(Undecided):
    """Parameters that do not belong to the lesson; the message says which. This is not a verdict about the code."""

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(
            f"the check cannot tell which parameter is which: {reason}. official_weights(model) can say it "
            "(docs/check.md)."
        )


@dataclass
class Unit:
    """A matrix with the vector that its module keeps with it, or a norm."""

    matrix: int  # index of the parameter
    vector: int | None
    kind: str  # of kinds(), or norm
    shape: tuple[int, ...]  # of the matrix, or of a norm's weight, without axes of length 1
    name: str
    module: str  # the class of the module that holds it

    @property
    def raw(self) -> bool:
        """Whether it is a parameter of its own, not nn.Linear's: then its axes may have any order."""
        return self.module not in MODULES


@dataclass
class Block:
    """The units of one block, by what their sizes allow."""

    attention: list[Unit] = field(default_factory=list)  # pieces of q, k, v, the projection, a square feed-forward
    wide: list[Unit] = field(default_factory=list)  # the MLP's two
    norms: list[Unit] = field(default_factory=list)
    bias: int | None = None  # a vector by itself: of the layer that reads the heads' outputs

    @property
    def wholes(self) -> list[Unit]:
        return [unit for unit in self.attention if unit.kind == "whole"]


@dataclass
class Structure:
    """A learner's parameters, sorted."""

    names: list[str]
    tables: list[Unit]  # (V, C): token embedding and output
    positions: list[Unit]
    blocks: list[Block]
    outside: list[Unit]  # of no block: the last norm
    output_bias: int | None  # the vector of V numbers
    output: Unit | None  # the table that it belongs to, where names tell
    width: int = 0  # of a gated MLP
    extras: list[list[list[int]]] = field(default_factory=list)  # of each block: what only a change of task 9 has
    outer: list[list[int]] = field(default_factory=list)  # of no block; a list of parameters is one of these


@dataclass(frozen=True)
class Sizes:
    """Of a model: vocabulary V, width C, heads H of D, block_size T, n_layer L."""

    V: int
    C: int
    H: int
    D: int
    T: int
    L: int
    W: int = 0  # the MLP's width, where it is not 4C
    K: int = 0  # heads of keys and values, where they are fewer than H

    @property
    def window(self) -> int:
        """How far a sliding window reaches in the check."""
        return 3 if self.T < 12 else self.T // 3


def telling(H: int, L: int, D: int = 6) -> Sizes:
    """Sizes with these heads and layers at which no two kinds of parameters hold as many numbers."""
    return Sizes(V=11, C=D * H, H=H, D=D, T=7, L=L) if H > 1 else Sizes(V=11, C=24, H=1, D=10, T=7, L=L)


def count(task: Task, sizes: Sizes) -> int:
    """Parameters of the lesson's model."""
    V, C = sizes.V, sizes.C
    width = sizes.H * sizes.D
    block = 3 * width * C * task.attention + (C * C + C) * task.projection + 4 * C * task.norms
    block += {"": 0, "linear": C * C + C, "mlp": 8 * C * C + 5 * C}[task.feed_forward]
    output = (V * (width if not task.feed_forward else C) + V) * (not task.tied)
    return V * C + output + sizes.T * C * (not task.rotary) + sizes.L * block + 2 * C * task.last_norm


def lengths(sizes: Sizes) -> dict[str, int]:
    """Axis → its length."""
    C = sizes.C
    inner = {"head": sizes.H, "dim": sizes.D, "role": 3, "pair": 2, "kv": sizes.K, "groups": sizes.H + 2 * sizes.K}
    return {"V": sizes.V, "T": sizes.T, "in": C, "out": C, "hidden": sizes.W or 4 * C, **inner}


def kinds(task: Task, sizes: Sizes) -> list[tuple[int, str]]:
    """How many numbers each kind of matrix holds."""
    length = lengths(sizes)
    names = ["table", "table of heads", "whole", "pair", "fused"]
    names += ["piece", "fused piece"] * (sizes.H > 1)
    names += ["widen"] * (task.feed_forward == "mlp") + ["position"] * (not task.rotary)
    names += ["widen pair"] * task.gated + ["kv", "groups"] * task.grouped
    names += ["kv pair"] * (task.grouped and 2 * sizes.K != sizes.H)  # then it is as large as all queries
    return [(math.prod(length[axis] for side in AXES[name] for axis in side), name) for name in names]


def read(
    task: Task, names: Sequence[str], owners: Sequence[str], shapes: Sequence[torch.Size], sizes: Sizes
) -> Structure:
    """Sort parameters into a Structure. Raises Unreadable where one has no place in the lesson."""
    extras = changes.extras(task, names, owners, shapes, sizes)
    own = [i for i in range(len(names)) if i not in extras]
    width = _width(task, [shapes[i] for i in own], sizes)
    sizes = replace(sizes, W=width)
    units, bias = _units(task, names, owners, shapes, sizes, own)
    tables = [unit for unit in units if unit.kind.startswith("table")]
    positions = _of_kind(units, "position")
    groups, outside = _by_block([u for u in units if u not in tables + positions], sizes.L if task.blocks else 0)
    _refuse_vectors(_of_kind(outside, "vector"))
    blocks = [_block(task, group) for group in groups]
    output = None if bias is None else _output(tables, names[bias])
    inner, outer = _extras_by_block(extras, names, owners, sizes.L)
    return Structure([*names], tables, positions, blocks, outside, bias, output, width, inner, outer)


def _of_kind(units: list[Unit], kind: str) -> list[Unit]:
    return [unit for unit in units if unit.kind == kind]


def _block(task: Task, group: list[Unit]) -> Block:
    wide, norms, alone = (_of_kind(group, kind) for kind in ("widen", "norm", "vector"))
    wide += _of_kind(group, "widen pair")
    _refuse_vectors(alone[has_merge(task) :])
    others = [unit for unit in group if unit not in [*wide, *norms, *alone]]
    return Block(others, wide, norms, alone[0].matrix if alone else None)


def _output(tables: list[Unit], bias: str) -> Unit | None:
    """The output layer among the tables: by its bias's name, or because the others are embeddings."""
    own = [unit for unit in tables if _stem(unit.name) == _stem(bias)]
    other = [unit for unit in tables if unit.module != "Embedding"]
    return next((found[0] for found in (own, other) if len(found) == 1), None)


def has_merge(task: Task) -> bool:
    """Whether a layer reads the heads' outputs that is as large as one of the roles."""
    return task.projection or task.feed_forward == "linear"


def _width(task: Task, shapes: Sequence[torch.Size], sizes: Sizes) -> int:
    """The width of a gated MLP, which may be any; 0 of another."""
    known = {number for number, kind in kinds(replace(task, gated=False), sizes) if kind != "widen"}
    found = {shape.numel() for shape in shapes if shape.numel() > 2 * sizes.C and len(shape) > 1}
    free = sorted(number // sizes.C for number in found if number not in known and number % sizes.C == 0)
    return free[0] if task.gated and free else 0


def _extras_by_block(indices: list[int], names, owners, count: int) -> tuple[list[list[list[int]]], list[list[int]]]:
    """What only a change has, block by block, and what is of none. Lists of parameters are one of these each."""
    lists: dict[str, list[int]] = {}
    for i in indices:
        lists.setdefault(_owner(names[i]) if owners[i] == "ParameterList" else names[i], []).append(i)
    return _sorted_by_block([*lists.values()], [(name, ()) for name in lists], count)


def differences(task: Task, structure: Structure) -> tuple[list[str], list[str]]:
    """What a model has more or less of than the lesson's: of norms and biases, and of other parts."""
    block, each = structure.blocks[0], per_block(task)
    lasts = [unit for unit in structure.outside if unit.kind == "norm"]
    norms = _counted(len(block.norms), 2 * task.norms, "norm", f" in {each}")
    norms += _counted(len(lasts), int(task.last_norm), "norm", " after the blocks")
    norms += _counted(int(structure.output_bias is not None), int(not task.tied), "bias", " in the output layer")
    if task.change:  # biases are free there
        norms = norms[: len(norms) - (structure.output_bias is None)]
    elif task.feed_forward == "mlp":
        biases = sum(unit.vector is not None for unit in block.wide)
        norms += _counted(biases, 2, "layer", f" of the MLP with a bias in {each}")
    elif task.feed_forward:
        biases = sum(unit.vector is not None for unit in block.wholes)
        norms += _counted(min(biases + (block.bias is not None), 1), 1, "bias", f" in the feed-forward layer of {each}")
    others = _counted(len(structure.tables), 2 - task.tied, "(V, C) table")
    others += _counted(len(structure.positions), int(not task.rotary), "position table")
    wide = [2, 3] if task.gated else [2 * (task.feed_forward == "mlp")]
    wide = wide if any(unit.kind == "widen pair" for unit in block.wide) else wide[-1:]
    others += _counted(len(block.wide), wide[0], "layer", f" of the MLP in {each}")
    return norms, others


def _counted(count: int, wanted: int, what: str, where: str = "") -> list[str]:
    words = ("no", "one", "two", "three", "four")
    number = words[count] if count < len(words) else str(count)
    plural = "" if count == 1 else "es" if what.endswith("s") else "s"
    said = f"{number} {what}{plural}{where}, the lesson has {words[wanted] if wanted else 'none'}"
    return [] if count == wanted else [said]


def per_block(task: Task) -> str:
    return "each block" if task.blocks else "the model"


# Matrices with their vectors


def _units(task: Task, names, owners, shapes, sizes: Sizes, own: list[int]) -> tuple[list[Unit], int | None]:
    """Matrices with their vectors, and norms, in order of creation; and the vector of V numbers."""
    numbers = dict(kinds(task, sizes))
    vectors = [i for i in own if shapes[i].numel() <= 4 * sizes.C]  # fewer than any matrix has
    units = []
    for i in sorted({*own} - {*vectors}):
        if shapes[i].numel() not in numbers:
            raise Unreadable(f"{names[i]} of shape {tuple(shapes[i])} does not belong to the lesson")
        plain = tuple(n for n in shapes[i] if n > 1)
        units.append(Unit(i, None, numbers[shapes[i].numel()], plain, names[i], owners[i]))
    outputs = [i for i in vectors if shapes[i].numel() == sizes.V]
    free = _give_vectors(units, [i for i in vectors if i not in outputs[:1]], names, shapes, sizes)
    for _, indices in itertools.groupby(free, lambda i: _owner(names[i])):
        units += _norms(list(indices), names, owners, shapes, sizes.C, alone=task.change == "rmsnorm")
    return sorted(units, key=lambda unit: unit.matrix), outputs[0] if outputs else None


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _stem(name: str) -> list[str]:
    """What is left of a parameter's name, part by part, without the words for matrix and bias."""
    words = r"weight|matrix|bias|^[wWbB](?=_|$|[A-Za-z0-9]{1,2}$)|(?<=_)[wWbB]$"
    return [re.sub(words, "", part).strip("_") for part in name.split(".")]


def _give_vectors(units: list[Unit], free: list[int], names, shapes, sizes: Sizes) -> list[int]:
    """Give each matrix its bias: the one of like name in its module, or of like place; the vectors that are left."""
    length = lengths(sizes)

    def fitting(unit: Unit) -> list[int]:
        written = [AXES[kind][0] for kind in (unit.kind, OTHER_USE.get(unit.kind, unit.kind))]
        allowed = [math.prod(length[axis] for axis in axes) for axes in written]
        return [i for i in free if shapes[i].numel() in allowed]

    for unit in units:
        unit.vector = next((i for i in fitting(unit) if _stem(names[i]) == _stem(unit.name)), None)
        free = [i for i in free if i != unit.vector]
    for owner, kind in dict.fromkeys((_owner(unit.name), unit.kind) for unit in units):
        bare = [u for u in units if (_owner(u.name), u.kind, u.vector) == (owner, kind, None)]
        near = [i for i in fitting(bare[0]) if _owner(names[i]) == owner] if bare else []
        left = [i for i in near if not re.search(NORM_WORDS, names[i])]
        if len(bare) == len(left):
            for unit, unit.vector in zip(bare, left, strict=True):
                free = [i for i in free if i != unit.vector]
    return free


def _norms(indices: list[int], names, owners, shapes, C: int, alone: bool) -> list[Unit]:
    """Norms: pairs of vectors of one module that belong to no matrix, or each by itself; or a vector by itself."""
    for i in indices:
        if shapes[i].numel() != C:
            raise Unreadable(f"{names[i]} of shape {tuple(shapes[i])} does not belong to the lesson")
    if alone:
        return [Unit(i, None, "norm", (C,), _owner(names[i]) or names[i], owners[i]) for i in indices]
    if len(indices) == 1:
        return [Unit(indices[0], None, "vector", (C,), names[indices[0]], owners[indices[0]])]
    if len(indices) % 2:
        raise Unreadable(f"{names[indices[-1]]} is one vector too many: a norm has two")
    pairs = zip(indices[0::2], indices[1::2], strict=True)
    return [Unit(a, b, "norm", (C,), _owner(names[a]) or names[a], owners[a]) for a, b in pairs]


def _refuse_vectors(units: list[Unit]) -> None:
    if units:
        raise Unreadable(
            f"{units[0].name} is a single vector. A norm with one vector is RMSNorm, or LayerNorm without its "
            "bias; the lesson's LayerNorm has two"
        )


# Blocks


def _by_block(units: list[Unit], count: int) -> tuple[list[list[Unit]], list[Unit]]:
    """The units of each of `count` equal blocks (0: there is one, and all is in it), and those of none."""
    if count <= 1:
        outside = _apart(units) if count else []
        return [[unit for unit in units if unit not in outside]], outside
    groups, outside = _sorted_by_block(units, [(unit.name, unit.shape) for unit in units], count)
    if all(unit.kind in ("norm", "vector") for unit in outside):
        return groups, outside
    return _by_creation(units, count)


def _sorted_by_block(items: list, known: list[tuple], count: int) -> tuple[list[list], list]:
    """The items of each block, and those of none, by their names and shapes: of one kind, all but numbers is alike."""
    alike: dict[tuple, list[int]] = {}
    for i, (name, shape) in enumerate(known):
        alike.setdefault((re.sub(r"\d+", "#", name), shape), []).append(i)
    of: dict[int, int | None] = {}
    for members in alike.values():
        of |= zip(members, _block_numbers([known[i][0] for i in members], count), strict=True)
    groups = [[item for i, item in enumerate(items) if of[i] == number] for number in range(count)]
    return groups, [item for i, item in enumerate(items) if of[i] is None]


def _block_numbers(names: list[str], count: int) -> Sequence[int | None]:
    """The block of each of these names, which differ in numbers alone; None where they belong to none.

    A number is the block's where it has `count` values, each in as many names: one between dots before one in a word.
    """
    in_words = [bool(re.search(r"[^.]", word)) for word in re.findall(r"([^.\d]*)\d+", names[0])]
    columns = list(zip(*(re.findall(r"\d+", name) for name in names), strict=True))
    for column in sorted(range(len(columns)), key=in_words.__getitem__):
        values = sorted({*columns[column]}, key=int)
        if len(values) == count and len({columns[column].count(value) for value in values}) == 1:
            return [values.index(value) for value in columns[column]]
    return [i * count // len(names) for i in range(len(names))] if len(names) % count == 0 else [None] * len(names)


def _by_creation(units: list[Unit], count: int) -> tuple[list[list[Unit]], list[Unit]]:
    """Equal runs in the order of creation, with or without a norm that belongs to none."""
    for without in [*(unit for unit in reversed(units) if unit.kind == "norm"), None]:
        ordered = [unit for unit in units if unit is not without]
        size = max(len(ordered) // count, 1)
        groups = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        if len(groups) == count and len({tuple(unit.shape for unit in group) for group in groups}) == 1:
            return groups, [without] if without else []
    raise Unreadable(f"{len(units)} layers that do not fall into {count} equal blocks")


def _apart(units: list[Unit]) -> list[Unit]:
    """With a single block: the norm that is not where the matrices are, or was created last."""
    norms = [unit for unit in units if unit.kind == "norm"]
    paths = [unit.name.split(".") for unit in units if unit.kind != "norm"]
    inside = [parts[0] for parts in itertools.takewhile(lambda parts: len({*parts}) == 1, zip(*paths, strict=False))]
    elsewhere = [unit for unit in norms if unit.name.split(".")[: len(inside)] != inside]
    return elsewhere or norms[-1:] * (len(norms) % 2)
