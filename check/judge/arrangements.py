"""Finds which of a learner's parameters is which of the lesson's, whatever their layouts: the second part of matching.

`arrangements` lists what the parameters could be: every order of matrices of one kind, every order of axes. An
arrangement turns the learner's parameters into the reference's weights, differentiably. Which one is right is found by
comparing logits (stages/logits.py): a text of one token does not depend on queries and keys, so values, projection and
feed-forward are found first.
"""

import itertools
import math
import operator
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from check.judge import changes
from check.judge.matching import AXES, Block, Layout, Sizes, Structure, Unit, Unreadable, has_merge, lengths, per_block
from check.judge.reference import Task, Weights

import torch

ROLES = list(itertools.permutations("kqv"))


@dataclass(frozen=True)
class Arrangement:
    """One way to read the parameters. Every field is a choice; the same for each block and for other sizes."""

    tables: tuple[int, ...]  # token, output
    norms: tuple[int, ...]
    gain_first: bool  # of a norm's two vectors
    order: tuple[int, ...]  # of the attention's whole matrices: of each role, and the one that reads the heads' output
    wide: tuple[int, ...]
    roles: tuple[str, ...]  # of the parts of fused matrices, or of the pieces
    head_major: bool  # pieces: all of a head together, or all of a role together
    layouts: dict[str, Layout]  # use → the order of axes


def arrangements(task: Task, structure: Structure, sizes: Sizes) -> Iterator[Arrangement]:
    """All arrangements, those first in which the order is the lesson's: the first of all is the official files'.

    Raises Unreadable where attention has other matrices than it can have.
    """
    block, sizes = structure.blocks[0], replace(sizes, W=structure.width)
    wholes, others = _attention(task, block, sizes)
    last = len(wholes) - (has_merge(task) and not _merge_pieces(block))
    orders = itertools.permutations(range(len(wholes)))
    norms = [unit for each in structure.blocks for unit in each.norms] + structure.outside
    for choice in itertools.product(
        _table_orders(task, structure),
        [(0, 1), (1, 0)] if task.norms else [()],
        [True, False] if any(unit.raw for unit in norms) else [True],
        [
            order
            for order in orders
            if len({wholes[i].shape for i in order[:last]}) <= 1 and _has_bias(task, block, order)
        ],
        _wide_orders(block),
        ROLES if others else ROLES[:1],  # of three whole matrices the order says which is key, query and value
        [True, False] if any(unit.kind == "piece" for unit in others) else [True],
    ):
        how = Arrangement(*choice, layouts={})
        uses = _uses(task, structure, how)
        for chosen in itertools.product(*(layouts(unit, AXES[use], sizes) for use, unit in uses.items())):
            yield replace(how, layouts=dict(zip(uses, chosen, strict=True)))


def _attention(task: Task, block: Block, sizes: Sizes) -> tuple[list[Unit], list[Unit]]:
    """The whole matrices of a block's attention, and those of other kinds."""
    wholes = block.wholes
    others = [unit for unit in block.attention if unit not in wholes]
    found = Counter(unit.kind for unit in block.attention)
    if has_merge(task) and found["whole"]:
        found["whole"] -= 1
    elif has_merge(task):
        found["piece"] -= len(_merge_pieces(block))
    possible = [{"whole": 3}, {"whole": 1, "pair": 1}, {"fused": 1}, {"piece": 3 * sizes.H}, {"fused piece": sizes.H}]
    if task.grouped:
        possible = [{"whole": 1, "kv": 2}, {"whole": 1, "kv pair": 1}, {"groups": 1}]
    if task.change == "gate":
        possible = [{"whole": 4}, {"whole": 2, "pair": 1}, {"whole": 1, "fused": 1}]
    if +found not in (possible if task.attention else [{}]):
        raise Unreadable(f"{per_block(task)} has {len(block.attention)} matrices that could belong to attention")
    return wholes, others


def _wide_orders(block: Block) -> list[tuple[int, ...]]:
    """The orders of an MLP's layers: that which narrows is last, and of a pair, the pair is first."""
    orders = [*itertools.permutations(range(len(block.wide)))]
    pairs = [i for i, unit in enumerate(block.wide) if unit.kind == "widen pair"]
    return [(*pairs, i) for i in range(len(block.wide)) if i not in pairs] if pairs else orders


def _has_bias(task: Task, block: Block, order: tuple[int, ...]) -> bool:
    """Whether the feed-forward layer of tasks 3 and 4 would have its bias in this order of whole matrices."""
    return task.feed_forward != "linear" or not order or (block.wholes[order[-1]].vector, block.bias) != (None, None)


def _merge_pieces(block: Block) -> list[Unit]:
    """The pieces of another shape than most: they read the heads' outputs."""
    shapes = Counter(unit.shape for unit in block.attention if unit.kind == "piece").most_common()
    return [unit for unit in block.attention if unit.kind == "piece" and unit.shape != shapes[0][0]]


def _table_orders(task: Task, structure: Structure) -> list[tuple[int, int]]:
    """Which table may be the token embedding, and which the output layer."""
    if task.tied:
        return [(0, 0)]
    orders = [(0, 1), (1, 0)]
    return [order for order in orders if structure.output in (None, structure.tables[order[1]])]


def _uses(task: Task, structure: Structure, how: Arrangement) -> dict[str, Unit]:
    """Use → a unit that has it, where the layouts are not chosen yet."""
    block = structure.blocks[0]
    token, head = (structure.tables[i] for i in how.tables)
    reads_heads = task.attention and not task.projection and not task.feed_forward
    uses = {"table": token, "table of heads" if reads_heads else "output": head}
    merges = _merge_pieces(block)
    uses |= {unit.kind: unit for unit in (*structure.positions, *block.attention) if unit.kind != "whole"}
    if merges:
        uses["merge piece"] = merges[0]
        uses["piece"] = next(unit for unit in block.attention if unit.kind == "piece" and unit not in merges)
    wholes = [block.wholes[i] for i in how.order]
    if has_merge(task) and not merges:
        uses["merge"] = wholes.pop()
    if task.change == "gate":
        uses["head gate"] = wholes.pop()
    if wholes:
        uses["whole"] = wholes[0]
    return uses | {use: block.wide[i] for use, i in zip(_wide_uses(block), how.wide, strict=False)}


def _wide_uses(block: Block) -> tuple[str, ...]:
    if any(unit.kind == "widen pair" for unit in block.wide):
        return ("widen pair", "narrow")
    return ("gate", "widen", "narrow") if len(block.wide) == 3 else ("widen", "narrow")


def layouts(unit: Unit, axes: tuple[Layout, Layout], sizes: Sizes) -> list[Layout]:
    """Every order of axes that a parameter of this shape can have; the lesson's, if that is one, first."""
    length = lengths(sizes)
    written, read = ([axis for axis in side if length[axis] > 1] for side in axes)
    orders = itertools.permutations([*written, *read])
    return [
        order
        for order in orders
        if _fits(unit.shape, order, written, length)
        and (unit.raw or unit.kind.startswith("table") or {*order[: len(written)]} == {*written})
    ]


def _fits(shape: Sequence[int], order: Layout, written: Sequence[str], length: dict[str, int]) -> bool:
    """Whether axes in this order fall into dimensions of this shape, none of them both written and read."""
    ends = [*itertools.accumulate((length[axis] for axis in order), operator.mul)]
    dimensions = {*itertools.accumulate(shape, operator.mul)}
    turns = {ends[i] for i, (a, b) in enumerate(itertools.pairwise(order)) if (a in written) != (b in written)}
    return turns <= dimensions <= {*ends}


def weights(
    task: Task, structure: Structure, values: Sequence[torch.Tensor], sizes: Sizes, how: Arrangement
) -> Weights:
    """The reference's weights that an arrangement makes of a learner's parameters."""
    narrow = [unit.matrix for unit in structure.blocks[0].wide if unit.kind == "widen"]
    width = values[narrow[0]].numel() // sizes.C if narrow and task.gated else 0
    read = Reading(values, how, lengths(replace(sizes, W=width)))
    token, head = (structure.tables[i] for i in how.tables)
    made: Weights = {"token": read.matrix(token, "table").flatten(1), "blocks": []}
    for use in ("output", "table of heads"):
        if use in how.layouts:
            made["head"] = read.matrix(head, use).flatten(1)
    if structure.output_bias is not None:
        made["head_bias"] = values[structure.output_bias].flatten()
    for unit in structure.positions:
        made["position"] = read.matrix(unit, "position")
    for unit in structure.outside:
        made["norm"], made["norm_bias"] = read.norm(unit)
    for block in structure.blocks:
        made["blocks"].append(_block(task, block, read))
    if task.change:
        inner = [[[values[i] for i in part] for part in own] for own in structure.extras]
        changes.place(task, made, inner, [[values[i] for i in part] for part in structure.outer], sizes)
    return made


@dataclass
class Reading:
    """A learner's values as an arrangement reads them."""

    values: Sequence[torch.Tensor]
    how: Arrangement
    length: dict[str, int]

    def matrix(self, unit: Unit, use: str, axes: Layout | None = None) -> torch.Tensor:
        """A matrix with its axes in the order of its use, or of `axes`."""
        return self._arranged(unit.matrix, self.how.layouts[use], axes or sum(AXES[use], ()))

    def bias(self, unit: Unit, use: str, axes: Layout | None = None) -> torch.Tensor | None:
        """The vector of a matrix, with the axes that the matrix writes in the same order as there."""
        written = axes or AXES[use][0]
        layout = tuple(axis for axis in self.how.layouts[use] if axis in written)
        return None if unit.vector is None else self._arranged(unit.vector, layout, written)

    def norm(self, unit: Unit) -> tuple[torch.Tensor, torch.Tensor]:
        """Gain and bias."""
        if unit.vector is None:
            return self.values[unit.matrix].flatten(), torch.zeros(self.length["in"])
        gain, bias = self.values[unit.matrix].flatten(), self.values[unit.vector].flatten()
        return (gain, bias) if self.how.gain_first else (bias, gain)

    def _arranged(self, index: int, layout: Layout, axes: Layout) -> torch.Tensor:
        value = self.values[index]
        wanted = [self.length[axis] for axis in axes]
        if value.numel() != math.prod(wanted):
            raise Unreadable(f"a parameter of shape {tuple(value.shape)} where {tuple(wanted)} was expected")
        plain = [axis for axis in axes if axis in layout]  # without those of length 1
        value = value.reshape([self.length[axis] for axis in layout])
        return value.permute([layout.index(axis) for axis in plain]).reshape(wanted)


def _block(task: Task, block: Block, read: Reading) -> Weights:
    how = read.how
    made: Weights = {"rotary": True} if task.rotary else {}
    wholes = [block.wholes[i] for i in how.order]
    merges = _merge_pieces(block)
    if has_merge(task):
        name, bias = "projection" if task.projection else "widen", block.bias
        if merges:
            made[name] = torch.cat([read.matrix(unit, "merge piece") for unit in merges], dim=1)
        else:
            unit = wholes.pop()
            bias = bias if unit.vector is None else unit.vector
            made[name] = read.matrix(unit, "merge").flatten(1)
        made[f"{name}_bias"] = None if bias is None else read.values[bias].flatten()
    for name, index in zip(_wide_uses(block), how.wide, strict=False):
        unit = block.wide[index]
        if name == "widen pair":
            rows, biases = read.matrix(unit, name, ("pair", "hidden", "in")), read.bias(unit, name, ("pair", "hidden"))
            made["gate"], made["widen"] = rows
            made["gate_bias"], made["widen_bias"] = (None, None) if biases is None else biases
            continue
        made[name], made[f"{name}_bias"] = read.matrix(unit, name), read.bias(unit, name)
    for number, index in enumerate(how.norms, 1):
        made[f"norm{number}"], made[f"norm{number}_bias"] = read.norm(block.norms[index])
    if task.attention:
        others = [unit for unit in block.attention if unit.kind != "whole" and unit not in merges]
        if task.change == "gate":
            gate = wholes.pop()
            made["head_gate"], made["head_gate_bias"] = read.matrix(gate, "head gate"), read.bias(gate, "head gate")
        for role, (matrix, bias) in zip(how.roles, _roles(wholes, others, read, how.roles), strict=True):
            made[role], made[f"{role}_bias"] = matrix, bias
    return {name: value for name, value in made.items() if value is not None}


def _roles(wholes: list[Unit], others: list[Unit], read: Reading, roles: tuple[str, ...]) -> list[tuple]:
    """Three matrices (H, D, C), each with its bias (H, D) or None."""
    parts = [(read.matrix(unit, "whole"), read.bias(unit, "whole")) for unit in wholes]
    kind = others[0].kind if others else ""
    if kind in ("kv", "kv pair", "groups"):
        return _of_groups(parts, others, read, roles)
    if kind in ("fused", "pair"):
        several = "role" if kind == "fused" else "pair"
        written = (several, "head", "dim")
        rows, biases = read.matrix(others[0], kind, (*written, "in")), read.bias(others[0], kind, written)
        parts = [(rows[i], None if biases is None else biases[i]) for i in range(len(rows))] + parts
    elif kind == "piece":
        H, major = len(others) // 3, read.how.head_major
        for role in range(3):
            parts.append(_stacked(others[role::3] if major else others[role * H : role * H + H], kind, read))
    elif kind == "fused piece":
        rows, biases = _stacked(others, kind, read)
        parts = [(rows[:, i], None if biases is None else biases[:, i]) for i in range(3)]
    return parts


def _of_groups(parts: list[tuple], others: list[Unit], read: Reading, roles: tuple[str, ...]) -> list[tuple]:
    """Queries (H, D, C), keys and values (K, D, C), in the order of the roles."""
    kind, H, K = others[0].kind, read.length["head"], read.length["kv"]
    if kind == "groups":
        counts = [H if role == "q" else K for role in roles]
        bias = read.bias(others[0], kind, ("groups", "dim"))
        biases = [None] * 3 if bias is None else bias.split(counts)
        return [*zip(read.matrix(others[0], kind, ("groups", "dim", "in")).split(counts), biases, strict=True)]
    found = [(read.matrix(unit, "kv"), read.bias(unit, "kv")) for unit in others if kind == "kv"]
    if kind == "kv pair":
        rows, bias = read.matrix(others[0], kind, ("pair", "kv", "dim", "in")), read.bias(others[0], kind)
        found = [(rows[i], None if bias is None else bias.view(2, K, -1)[i]) for i in range(2)]
    return [parts[0] if role == "q" else found.pop(0) for role in roles]


def _stacked(units: list[Unit], kind: str, read: Reading) -> tuple:
    """The matrices of the heads, and their biases or None."""
    biases = [bias for unit in units if (bias := read.bias(unit, kind)) is not None]
    matrices = torch.stack([read.matrix(unit, kind) for unit in units])
    return matrices, torch.stack(biases) if len(biases) == len(units) else None
