"""Which of a learner's parameters is which of the lesson's, whatever they are called and however they are laid out.

`read` sorts the parameters by shape, owner and block. `arrangements` lists what they could be: every order of matrices
of one shape, every layout of heads and of thirds, transposes. An arrangement turns the learner's parameters into the
reference's weights, differentiably. Which one is right is found by comparing logits (stages/logits.py): a text of one
token does not depend on queries and keys, so values, projection and feed-forward are found first.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from check.reference import Task, Weights

import torch

SQUARES = 5  # at most, of one shape in a block: key, query, value, projection, feed-forward
AXES = list(itertools.permutations(("role", "head", "dim")))  # orders in which a fused matrix can hold its rows
ROLES = list(itertools.permutations("kqv"))


class Unreadable(Exception):
    """Parameters that are none of the lesson's; the message says which."""


@dataclass
class Unit:
    """A matrix with the vector that its module keeps beside it, or a norm."""

    matrix: int  # index of the parameter
    vector: int | None
    shape: tuple[int, ...]  # of the matrix; of a norm's weight
    name: str
    raw: bool  # a parameter of its own, not nn.Linear's: rows and columns may be exchanged


@dataclass
class Block:
    """The units of one block, by what their shapes allow."""

    attention: list[Unit] = field(default_factory=list)  # pieces of q, k, v, the projection, a square feed-forward
    wide: list[Unit] = field(default_factory=list)  # the MLP's two
    norms: list[Unit] = field(default_factory=list)


@dataclass
class Structure:
    """A learner's parameters, sorted."""

    tables: list[Unit]  # (V, C): token embedding and output
    position: Unit | None
    blocks: list[Block]
    norm: Unit | None


@dataclass(frozen=True)
class Sizes:
    """Of a model: vocabulary V, width C, heads H of D, block_size T, n_layer L."""

    V: int
    C: int
    H: int
    D: int
    T: int
    L: int


def read(
    task: Task,
    names: Sequence[str],
    owners: Sequence[str],
    shapes: Sequence[torch.Size],
    sizes: Sizes,
    last_norm: str = "",
) -> Structure:
    """Sort parameters into a Structure. With a single block, `last_norm` names the norm that follows it.

    Raises Unreadable where one is none of the lesson's.
    """
    V, C, T = sizes.V, sizes.C, sizes.T
    units = _units(names, owners, shapes, C)
    tables = [unit for unit in units if set(unit.shape) in ({V, C}, {V, sizes.H * sizes.D})]
    position = next((unit for unit in units if unit.shape == (T, C) and not task.rotary), None)
    rest = [unit for unit in units if unit not in tables and unit is not position]
    groups, outside = _by_block(rest, sizes.L if task.blocks else 1, last_norm)
    structure = Structure(tables, position, [], None)
    for group in groups:
        block = Block()
        for unit in group:
            if len(unit.shape) == 1:
                block.norms.append(unit)
            elif set(unit.shape) == {C, 4 * C} and task.feed_forward == "mlp":
                block.wide.append(unit)
            else:
                block.attention.append(unit)
        structure.blocks.append(block)
    if outside:
        structure.norm = outside[0]
    _complain(task, structure, outside[1:])
    return structure


def _complain(task: Task, structure: Structure, beyond: list[Unit]) -> None:
    expected = {"(V, C) tables": (len(structure.tables), 1 if task.tied else 2)}
    if not task.rotary:
        expected["position tables"] = (int(structure.position is not None), 1)
    if task.last_norm:
        expected["last norms"] = (int(structure.norm is not None), 1)
    if task.norms:
        expected["norms in a block"] = (len(structure.blocks[0].norms), 2)
    if task.feed_forward == "mlp":
        expected["matrices of the MLP in a block"] = (len(structure.blocks[0].wide), 2)
    for what, (got, wanted) in expected.items():
        if got != wanted:
            raise Unreadable(f"{got} {what}, where the lesson has {wanted}")
    if beyond:
        raise Unreadable(f"{', '.join(unit.name for unit in beyond)}: of no block")


def _units(names: Sequence[str], owners: Sequence[str], shapes: Sequence[tuple[int, ...]], C: int) -> list[Unit]:
    """Matrices with their vectors, and norms, in order of creation."""
    by_owner: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        by_owner.setdefault(name.rpartition(".")[0], []).append(index)
    units = []
    for prefix, indices in by_owner.items():
        matrices = [i for i in indices if len([n for n in shapes[i] if n > 1]) >= 2]
        vectors = [i for i in indices if i not in matrices]
        for i in matrices:
            leaf = names[i].rpartition(".")[2]
            vector = _vector_of(leaf, matrices, vectors, names, shapes, i)
            if vector is not None:
                vectors.remove(vector)
            raw = owners[i] not in ("Linear", "Embedding", "NonDynamicallyQuantizableLinear", "MultiheadAttention")
            shape = tuple(n for n in shapes[i] if n > 1)
            units.append(Unit(i, vector, shape, names[i], raw))
        norms = [i for i in vectors if shapes[i] == (C,)]
        for pair in zip(norms[0::2], norms[1::2], strict=False):
            units.append(Unit(pair[0], pair[1], (C,), prefix or names[pair[0]], True))
        for i in vectors:
            if i not in norms[: len(norms) // 2 * 2]:
                raise Unreadable(f"{names[i]} of shape {tuple(shapes[i])}")
    return sorted(units, key=lambda unit: unit.matrix)


def _vector_of(leaf, matrices, vectors, names, shapes, matrix) -> int | None:
    """The bias that belongs to a matrix: the only one of its module, or the one of like name, or of like place."""
    lengths = [shapes[matrix][0], shapes[matrix][-1]]
    if len(shapes[matrix]) > 2:
        lengths.append(torch.Size(shapes[matrix]).numel() // max(shapes[matrix]))
    fitting = [i for i in vectors if shapes[i].numel() in lengths]
    if len(matrices) == 1:
        return fitting[0] if len(fitting) == 1 else next((i for i in fitting if "bias" in names[i]), None)
    common = re.sub(r"(weight|matrix|^[wW]_?|_?[wW]$)", "", leaf)
    for i in fitting:
        other = re.sub(r"(bias|^[bB]_?|_?[bB]$)", "", names[i].rpartition(".")[2])
        if common == other:
            return i
    place = matrices.index(matrix)
    return fitting[place] if len(fitting) == len(matrices) else None


def _by_block(units: list[Unit], count: int, last_norm: str) -> tuple[list[list[Unit]], list[Unit]]:
    """The units of each of `count` equal blocks, and those of none (the last norm, by its name if that is known)."""
    if count == 1:
        outside = [unit for unit in units if last_norm and unit.name == last_norm]
        return [[unit for unit in units if unit not in outside]], outside
    numbered: dict[int, list[Unit]] = {}
    outside = []
    for unit in units:
        digits = [int(number) for number in re.findall(r"\d+", unit.name)]
        if digits:
            numbered.setdefault(digits[0], []).append(unit)
        else:
            outside.append(unit)
    groups = [numbered[number] for number in sorted(numbered)]
    alike = [[unit.shape for unit in group] for group in groups]
    if len(groups) == count and all(shapes == alike[0] for shapes in alike):
        return groups, outside
    # Names do not tell: equal runs in the order of creation, with or without a norm that belongs to none.
    norms = [unit for unit in units if len(unit.shape) == 1]
    for without in [*reversed(norms), None]:
        ordered = [unit for unit in units if unit is not without]
        size = len(ordered) // count
        groups = [ordered[start : start + size] for start in range(0, len(ordered), max(size, 1))]
        alike = [[unit.shape for unit in group] for group in groups]
        if len(groups) == count and all(shapes == alike[0] for shapes in alike):
            return groups, [without] if without else []
    raise Unreadable(f"{len(units)} layers that do not fall into {count} equal blocks")


@dataclass(frozen=True)
class Arrangement:
    """One way to read the parameters. Every field is a choice; the same for each block and for other sizes."""

    tables: tuple[int, ...]  # token, output
    norms: tuple[int, ...]
    attention: tuple[int, ...]  # the order of the attention units of one shape
    transposed: bool  # of raw square matrices
    wide: tuple[int, ...]
    axes: int  # of AXES, for fused rows
    roles: int  # of ROLES: which third is key, query, value
    heads_last: bool  # (dim, head) in the rows of a matrix of one role
    merged_last: bool  # (dim, head) in the columns that read the heads' output
    head_major: bool  # separate heads: all of a head together, or all of a role together


def arrangements(task: Task, structure: Structure, sizes: Sizes) -> Iterator[Arrangement]:
    """All arrangements, those first in which the order is the lesson's."""
    block = structure.blocks[0]
    squares = [unit for unit in block.attention if unit.shape == (sizes.C, sizes.C)]
    count = len(squares)
    orders = list(itertools.permutations(range(count))) if count <= SQUARES else [tuple(range(count))]
    raw = any(unit.raw for unit in block.attention)
    fused = any(_is_fused(unit, sizes) for unit in block.attention)
    several = task.n_head and sizes.H > 1
    separate = several and not fused and any(unit.shape != (sizes.C, sizes.C) for unit in block.attention)
    # With squares of one role, orders already try every role; else the roles do.
    by_order = count >= 3 and not fused and not separate
    for choice in itertools.product(
        [(0, 0)] if task.tied else [(0, 1), (1, 0)],
        [(0, 1), (1, 0)] if task.norms else [()],
        orders,
        [False, True] if raw else [False],
        [(0, 1), (1, 0)] if any(unit.raw for unit in block.wide) else [(0, 1)],
        range(len(AXES)) if fused and several else [AXES.index(("role", "head", "dim"))],
        [0] if by_order else range(len(ROLES)),
        [False, True] if several and not separate else [False],
        [False, True] if several else [False],
        [True, False] if separate else [True],
    ):
        yield Arrangement(*choice)


def official(task: Task) -> Arrangement:
    """The arrangement of the official files."""
    squares = {"": 0, "linear": 1, "mlp": 1}[task.feed_forward]
    return Arrangement(
        tables=(0, 0) if task.tied else (0, 1),
        norms=(0, 1) if task.norms else (),
        attention=tuple(range(squares)),
        transposed=False,
        wide=(0, 1),
        axes=AXES.index(("head", "role", "dim")),
        roles=ROLES.index(("k", "q", "v")),
        heads_last=False,
        merged_last=False,
        head_major=True,
    )


def _is_fused(unit: Unit, sizes: Sizes) -> bool:
    return len(unit.shape) == 2 and 3 * sizes.H * sizes.D in unit.shape and sizes.C in unit.shape


def weights(
    task: Task, structure: Structure, values: Sequence[torch.Tensor], sizes: Sizes, how: Arrangement
) -> Weights:
    """The reference's weights that an arrangement makes of a learner's parameters.

    Raises Unreadable where its shapes do not allow that.
    """
    V, C = sizes.V, sizes.C
    token, head = (structure.tables[i] for i in how.tables)
    if (head.vector is None) != task.tied or token.vector is not None:
        raise Unreadable(f"the output has {'no' if task.tied else 'a'} bias, the token embedding none")
    made: Weights = {
        "token": _oriented(token, values, (V, C)),
        "head": _oriented(head, values, (V, C if task.feed_forward else sizes.H * sizes.D)),
        "blocks": [_block(task, block, values, sizes, how) for block in structure.blocks],
    }
    if head.vector is not None:
        made["head_bias"] = values[head.vector]
    if structure.position is not None:
        made["position"] = values[structure.position.matrix].reshape(sizes.T, C)
    if structure.norm is not None:
        made["norm"], made["norm_bias"] = _pair(structure.norm, values)
    merge = sizes.C if task.n_head else sizes.D
    if how.merged_last and not task.feed_forward and not task.projection:
        made["head"] = _columns(made["head"], sizes, merge)
    return made


def _bias(unit: Unit, values: Sequence[torch.Tensor]) -> torch.Tensor:
    if unit.vector is None:
        raise Unreadable(f"{unit.name} has no bias")
    return values[unit.vector]


def _pair(unit: Unit, values: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    assert unit.vector is not None
    return values[unit.matrix], values[unit.vector]


def _oriented(unit: Unit, values: Sequence[torch.Tensor], shape: tuple[int, int]) -> torch.Tensor:
    """A matrix (out, in), exchanged if need be."""
    matrix = values[unit.matrix].squeeze()
    if tuple(matrix.shape) == shape:
        return matrix
    if tuple(matrix.shape) == shape[::-1]:
        return matrix.T
    raise Unreadable(f"{unit.name} of shape {tuple(matrix.shape)}, expected {shape}")


def _block(task: Task, block: Block, values: Sequence[torch.Tensor], sizes: Sizes, how: Arrangement) -> Weights:
    C = sizes.C
    made: Weights = {"rotary": True} if task.rotary else {}
    squares = [unit for unit in block.attention if unit.shape == (C, C)]
    squares = [squares[i] for i in how.attention]
    others = [unit for unit in block.attention if unit not in squares]

    def square(unit: Unit) -> torch.Tensor:
        matrix = values[unit.matrix].reshape(C, C)
        return matrix.T if how.transposed and unit.raw else matrix

    if task.projection:
        if not squares:
            raise Unreadable("no projection (C, C) in a block")
        last = squares.pop()
        made["projection"] = square(last)
        if last.vector is not None:
            made["projection_bias"] = values[last.vector]
    elif task.feed_forward == "linear":
        if not squares:
            raise Unreadable("no feed-forward layer (C, C) in a block")
        last = squares.pop()
        made["widen"] = square(last)
        made["widen_bias"] = _bias(last, values)
    if task.feed_forward == "mlp":
        widen, narrow = (block.wide[i] for i in how.wide)
        if not widen.raw and widen.shape != (4 * C, C):
            widen, narrow = narrow, widen
        made["widen"], made["widen_bias"] = _oriented(widen, values, (4 * C, C)), _bias(widen, values)
        made["narrow"], made["narrow_bias"] = _oriented(narrow, values, (C, 4 * C)), _bias(narrow, values)
    for number, index in enumerate(how.norms, 1):
        made[f"norm{number}"], made[f"norm{number}_bias"] = _pair(block.norms[index], values)
    if task.attention:
        made |= _queries_keys_values(task, [*squares, *others], square, values, sizes, how)
    if how.merged_last and task.attention and (task.feed_forward or task.projection):
        name = "projection" if task.projection else "widen"
        made[name] = _columns(made[name], sizes, C)
    return made


def _columns(matrix: torch.Tensor, sizes: Sizes, width: int) -> torch.Tensor:
    """A matrix whose columns read (dim, head), as one that reads (head, dim)."""
    if width != sizes.H * sizes.D:
        return matrix
    return matrix.unflatten(1, (sizes.D, sizes.H)).transpose(1, 2).flatten(1)


def _queries_keys_values(task, units, square, values, sizes: Sizes, how: Arrangement) -> Weights:
    """q, k, v (H, D, C) and their biases (H, D), from separate, fused or stacked matrices."""
    C, H, D = sizes.C, sizes.H, sizes.D
    if len(units) == 1:
        matrix, bias = _fused(units[0], values, sizes, AXES[how.axes])
        parts = [(matrix[i], None if bias is None else bias[i]) for i in range(3)]
    elif len(units) == 3 and units[0].shape == (C, C):
        parts = [_of_role(square(unit), unit, values, sizes, how.heads_last) for unit in units]
    elif len(units) == 3:
        parts = [_of_role(_stacked(unit, values, sizes), unit, values, sizes, how.heads_last) for unit in units]
    elif len(units) == 2 and {unit.shape[0] for unit in units} == {H * D, 2 * H * D}:  # keys and values fused
        query, pair = sorted(units, key=lambda unit: unit.shape[0])
        rows = _oriented(pair, values, (2 * H * D, C)).unflatten(0, (2, H, D))
        bias = None if pair.vector is None else values[pair.vector].unflatten(0, (2, H, D))
        parts = [(rows[i], None if bias is None else bias[i]) for i in range(2)]
        parts.append(_of_role(_oriented(query, values, (H * D, C)), query, values, sizes, how.heads_last))
    elif len(units) == 3 * H:
        rows = [_oriented(unit, values, (D, C)) for unit in units]
        biases = [None if unit.vector is None else values[unit.vector] for unit in units]
        order = [range(role, 3 * H, 3) if how.head_major else range(role * H, role * H + H) for role in range(3)]
        parts = [
            (torch.stack([rows[i] for i in picked]), _stack_biases([biases[i] for i in picked])) for picked in order
        ]
    elif len(units) == H:  # a fused matrix for each head
        rows = [_oriented(unit, values, (3 * D, C)).unflatten(0, (3, D)) for unit in units]
        if how.heads_last:
            rows = [_oriented(unit, values, (3 * D, C)).unflatten(0, (D, 3)).transpose(0, 1) for unit in units]
        biases = [None if unit.vector is None else values[unit.vector].unflatten(0, (3, D)) for unit in units]
        stacked, bias = torch.stack(rows, dim=1), _stack_biases(biases, dim=1)
        parts = [(stacked[i], None if bias is None else bias[i]) for i in range(3)]
    else:
        raise Unreadable(f"{len(units)} matrices of attention in a block")
    made: Weights = {}
    for role, (matrix, bias) in zip(ROLES[how.roles], parts, strict=True):
        made[role] = matrix
        if bias is not None:
            made[f"{role}_bias"] = bias
    return made


def _stack_biases(biases: list, dim: int = 0) -> torch.Tensor | None:
    return None if any(bias is None for bias in biases) else torch.stack(biases, dim=dim)


def _of_role(matrix, unit: Unit, values, sizes: Sizes, heads_last: bool):
    """The matrix of one role as (H, D, C), and its bias (H, D)."""
    C, H, D = sizes.C, sizes.H, sizes.D
    bias = None if unit.vector is None else values[unit.vector].flatten()
    if matrix.ndim == 2:
        if tuple(matrix.shape) != (H * D, C):
            raise Unreadable(f"{unit.name} of shape {tuple(matrix.shape)}")
        if heads_last:
            matrix = matrix.unflatten(0, (D, H)).transpose(0, 1)
            bias = None if bias is None else bias.unflatten(0, (D, H)).transpose(0, 1)
        else:
            matrix = matrix.unflatten(0, (H, D))
    return matrix, None if bias is None else bias.reshape(H, D)


def _stacked(unit: Unit, values, sizes: Sizes) -> torch.Tensor:
    """A parameter with axes for heads, size and width in any order, as (H, D, C); or a matrix (H·D, C)."""
    C, H, D = sizes.C, sizes.H, sizes.D
    value = values[unit.matrix]
    if len(unit.shape) == 2:
        return _oriented(unit, values, (H * D, C))
    wanted = [H, D, C]
    shape = list(value.shape)
    if sorted(shape) != sorted(wanted):
        raise Unreadable(f"{unit.name} of shape {tuple(shape)}")
    return value.permute([shape.index(size) for size in wanted])


def _fused(unit: Unit, values, sizes: Sizes, axes: tuple[str, ...]):
    """One parameter of all roles as (3, H, D, C), and its bias (3, H, D)."""
    C, H, D = sizes.C, sizes.H, sizes.D
    value = values[unit.matrix].squeeze()
    length = {"role": 3, "head": H, "dim": D}
    order = [axes.index(name) for name in ("role", "head", "dim")]
    bias = None if unit.vector is None else values[unit.vector].flatten()
    if value.ndim == 2:
        rows = _oriented(unit, values, (3 * H * D, C)).unflatten(0, [length[name] for name in axes])
        bias = None if bias is None else bias.unflatten(0, [length[name] for name in axes]).permute(order)
        return rows.permute(*order, 3), bias
    shape, wanted = list(value.shape), [3, H, D, C]
    if value.ndim == 3 and 3 in shape and C in shape and H * D in shape and H * D != C:
        wanted = [3, H * D, C]
        return value.permute([shape.index(size) for size in wanted]).unflatten(1, (H, D)), None
    if value.ndim == 3 and sorted(shape) == sorted([3, C, C]):
        first = value.permute([shape.index(3), *(i for i, size in enumerate(shape) if size == C)])
        return first.transpose(1, 2).unflatten(1, (H, D)), None
    if value.ndim == 3 and sorted(shape) == sorted([H, 3 * D, C]):
        arranged = value.permute([shape.index(size) for size in (H, 3 * D, C)])
        return arranged.unflatten(1, (3, D)).transpose(0, 1), None
    if sorted(shape) != sorted(wanted):
        raise Unreadable(f"{unit.name} of shape {tuple(shape)}")
    return value.permute([shape.index(size) for size in wanted]), None
