"""The lessons' model again, as functions of its weights: the correct form, and the wrong forms that learners write.

Weights are a dict: token (V, C), position (T, C), blocks (a list of dicts), norm and norm_bias (C), head (V, C) and
head_bias (V). A block has q, k, v (H, D, C), q_bias, k_bias, v_bias (H, D), projection (C, C) and projection_bias (C),
widen and widen_bias, narrow and narrow_bias (the MLP; tasks 3 and 4 have only widen), and norm1, norm1_bias, norm2,
norm2_bias (C). Weights that a task does not have are absent.
"""

import math
from dataclasses import dataclass

from check.judge import changed
from check.judge.changed import ACTIVATIONS, EPS
from exercises.catalogue import EXERCISES

import torch
from torch.nn import functional as F

Weights = dict


@dataclass(frozen=True)
class Form:
    """How the model computes. The defaults are right; `scale` and `layout` have several right values."""

    scale: str | float = "√D"  # of the scores: √D, √C (the documented runs), 1, D, C, and the reverse; or a factor
    layout: str = "halves"  # of rotated pairs: (i, i + D/2), or "neighbours": (2i, 2i + 1)
    direction: int = 1  # of the rotation
    swapped: bool = False  # queries and keys in each other's place
    mask: str = "-inf"  # of later positions; none, where all may be seen
    # Wrong forms. Of mask: a number (of hidden scores), after (weights set to 0), added (1 and 0), future, ahead (one
    # further), strict (not even itself), exchanged (what should be seen is hidden), exchanged to 0 (and no weight is
    # left where all is hidden).
    transposed: bool = False  # weights
    weights_scaled: bool = False  # in place of scores
    split: str = ""  # of vectors into heads: view (without transpose), exchanged (H and D)
    split_of: str = "qkv"
    merged: str = ""  # view (without transpose), dims and ends (another transpose)
    heads: str = ""  # what W_O reads: sum (of all heads, in the place of each), or first (that sum, in the first's)
    base: float = 10_000.0
    step: float = 1.0  # from one position to the next
    exponent: str = "2i/D"
    rotated: str = "qk"  # which of q, k, v are turned
    opposite: bool = False  # keys turned against queries
    signs: tuple[int, int] = (-1, 1)  # of b sin and b cos in (a cos - b sin, a sin + b cos)
    angles_of_other: bool = False  # the order of angles is the other layout's
    rotary_blocks: str = "all"  # or first
    rotary_heads: str = "all"  # or first
    activation: str = ""  # the task's
    last_activation: bool = False  # at the end of the feed-forward part, too
    activation_first: bool = False  # before the feed-forward part's first layer
    attention_skip: float | None = None  # how often x is added; None: as the task has it
    feed_forward_skip: float | None = None
    outer_skip: bool = False  # a block's input is added to its output
    skips_of_norm: str = ""  # the numbers of the skips that take the normalized stream
    skip_of_start: bool = False  # the second skip takes the block's input
    norm: str = "pre"  # post, after (of a branch's output), or none
    normed: str = "qkv"  # what the first norm is for
    norm_axis: str = "channels"  # or positions
    norm_correction: int = 0  # of the variance: 1 for n - 1
    same_norm: int = 0  # the number of the norm that both branches use
    final_norm: bool = True
    output: str = ""  # softmax, or log_softmax, of the logits
    order: str = ""  # of the blocks: reversed; attentions: those of all blocks first; last: the last block alone
    feed_forward_first: bool = False
    parallel: bool = False  # attention and feed-forward read the same stream
    projection: bool = True
    softmax: str = "keys"  # the axis: queries, heads
    same: str = ""  # two roles that are one: q=k, k=q, v=k, v=q
    same_heads: bool = False  # all have the first one's weights
    positions: bool = True
    positions_end: bool = False  # they are counted from the end of the table
    token_scale: str = "1"
    # Of the changes of task 9 (changed.py)
    norm_kind: str = "layer"  # rms, or a wrong one
    gain_offset: float = 0.0  # added to a norm's gains
    gated: str = ""  # how a gated MLP joins its two products
    qk_norm: str = ""  # how queries and keys are normalized; qk_normed: which of q, k and v; and when
    qk_normed: str = "qk"
    qk_late: bool = False  # once they are turned
    grouped: str = ""  # which head of keys and values a query's head has
    window: str = ""  # which positions a sliding window shows
    gate: str = ""  # how attention's output is gated
    gate_of: str = "normed"  # or stream: what the gate reads
    first_values: str = ""  # how values are mixed with the first block's
    convolved: str = ""  # how a short convolution adds up
    slopes: str = ""  # of ALiBi


@dataclass(frozen=True)
class Task:
    """What the model of a task consists of."""

    name: str
    attention: bool = True
    n_head: bool = True  # several heads
    feed_forward: str = ""  # linear or mlp
    blocks: bool = False
    skips: bool = False
    norms: bool = False
    dropout: bool = False
    rotary: bool = False
    projection: bool = False
    activation: str = "relu"
    last_norm: bool = False  # one before the output
    tied: bool = False  # the output layer has the token embedding's weights, and no bias
    embedding_dropout: bool = False
    change: str = ""  # of task 9: the name of a script in variants/
    gated: bool = False  # the MLP
    grouped: bool = False  # queries
    numbers: int = 0  # that a block mixes values with, or multiplies scores by

    @property
    def heads_alone(self) -> bool:
        """Whether it is attention with several heads and nothing else."""
        return self.attention and self.n_head and not self.feed_forward

    @property
    def documented_scale(self) -> str:
        """What divides the scores in the documented runs."""
        return "√C" if self.n_head else "√D"

    @property
    def scales(self) -> tuple[str, ...]:
        """What may divide the scores."""
        return SCALES_OF_LESSONS if self.name.startswith("task") or self.change else ("√D",)


# Of pieces that are modules, the model of which the check makes the rest.
TASKS = {name: Task(name, **each.model) for name, each in EXERCISES.items() if each.model is not None}

SCALES_OF_LESSONS = ("√D", "√C")  # the documented runs divide by √C from task 2 on
RIGHT_ACTIVATIONS = {"relu": ("relu",), "relu²": ("relu²",), "gelu": ("gelu", "gelu (tanh)")}


def logits(task: Task, weights: Weights, tokens: torch.Tensor, form: Form = Form(), gains: dict | None = None):
    """Tokens (B, T) → logits (B, T, V).

    `gains` multiplies what dropout would act on: (place, number of the block) → tensor that broadcasts to the place's.
    Places: weights, values, attention, sum1, feed_forward, inside, sum2, embedding, and tokens (both of block 0).
    """
    gains = gains or {}
    x = weights["token"][tokens] * gains.get(("tokens", 0), 1.0)  # (B, T, C)
    if form.token_scale == "√C":
        x = x * math.sqrt(x.shape[-1])
    if "position" in weights and form.positions:
        T, table = tokens.shape[1], weights["position"]
        x = x + (table[-T:] if form.positions_end else table[:T])
    x = x * gains.get(("embedding", 0), 1.0)
    x = changed.convolve(weights, "embedding", x, form)
    blocks = list(enumerate(weights["blocks"]))
    if form.order == "attentions" and len(blocks) > 1:
        for part in (0, 1):
            for _, block in blocks:
                x = _block(task, block, x, form, {}, part)
        blocks = []
    for number, block in {"reversed": blocks[::-1], "last": blocks[-1:]}.get(form.order, blocks):
        if form.rotary_blocks == "first" and number:
            block = {name: value for name, value in block.items() if name != "rotary"}
        x = _block(task, block, x, form, {place: gain for (place, of), gain in gains.items() if of == number})
    if "norm" in weights and form.final_norm:
        x = _layer_norm(x, weights["norm"], weights["norm_bias"], form)
    x = F.linear(x, weights["head"], weights.get("head_bias"))
    return {"softmax": F.softmax, "log_softmax": F.log_softmax}[form.output](x, dim=-1) if form.output else x


def attention_weights(task: Task, weights: Weights, tokens: torch.Tensor, form: Form) -> torch.Tensor:
    """The first head's weights (T, T) in the first block, for the first row of tokens (B, T)."""
    block = weights["blocks"][0]
    identity = {"token": weights["token"], "blocks": [], "head": torch.eye(weights["token"].shape[1])}
    x = logits(task, identity | {"position": weights["position"]} if "position" in weights else identity, tokens, form)
    inside = _norm(block, 1, x, form) if task.norms and form.norm == "pre" else x
    return _weights_and_values(block, inside, x, form)[0][0, 0]


def _block(task: Task, block: Weights, x: torch.Tensor, form: Form, gains: dict, part: int | None = None):
    """A block, or one `part` of it."""
    skips = [task.skips if chosen is None else chosen for chosen in (form.attention_skip, form.feed_forward_skip)]
    branches = [
        (1, lambda y, x: _attention(block, y, x, form, gains), skips[0]),
        (2, lambda y, _: _feed_forward(block, y, form.activation or task.activation, form, gains), skips[1]),
    ]
    if not task.feed_forward:
        branches.pop()
    if not task.attention:
        del branches[0]
    if form.feed_forward_first:
        branches.reverse()
    start = x
    for number, branch, skip in branches if part is None else branches[part : part + 1]:
        source = start if form.parallel else x
        inside = _norm(block, number, source, form) if task.norms and form.norm == "pre" else source
        y = branch(inside, source)
        if task.norms and form.norm == "after":
            y = _norm(block, number, y, form)
        if skip:
            y = y + skip * (inside if str(number) in form.skips_of_norm else start if form.skip_of_start else x)
        x = _norm(block, number, y, form) if task.norms and form.norm == "post" else y
        x = x * gains.get(f"sum{number}", 1.0)
    if form.outer_skip:
        x = x + start
    return x


def _norm(block: Weights, number: int, x: torch.Tensor, form: Form) -> torch.Tensor:
    number = form.same_norm or number
    x = _layer_norm(x, block[f"norm{number}"], block[f"norm{number}_bias"], form)
    return changed.convolve(block, f"norm{number}", x, form)


def _layer_norm(x: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor, form: Form) -> torch.Tensor:
    if form.norm_kind != "layer" or form.gain_offset:
        return changed.normalize(x, form.norm_kind) * (gain + form.gain_offset) + bias
    if form.norm_axis == "channels" and not form.norm_correction:
        return F.layer_norm(x, x.shape[-1:], gain, bias, EPS)
    axis = {"channels": -1, "positions": -2}[form.norm_axis]
    correction = min(form.norm_correction, x.shape[axis] - 1)  # of one number the variance is 0
    variance = x.var(dim=axis, keepdim=True, correction=correction)
    return gain * (x - x.mean(dim=axis, keepdim=True)) / (variance + EPS).sqrt() + bias


def _attention(block: Weights, x: torch.Tensor, before: torch.Tensor, form: Form, gains: dict) -> torch.Tensor:
    """Of x, and of what came `before` its norm."""
    weights, v = _weights_and_values(block, x, before, form)
    read = before if form.gate_of == "stream" else x
    v = changed.gate(block, v, read, form) if form.gate == "values" else v
    weights = weights * gains.get("weights", 1.0)
    y = weights @ (v * gains.get("values", 1.0))  # (B, H, T, D)
    if form.gate not in ("", "values", "after the projection"):
        y = changed.gate(block, y, read, form)
    B, H, T, D = y.shape
    if form.heads:
        y = y.sum(dim=1, keepdim=True).expand_as(y)
        y = y * (torch.arange(H) == 0).view(H, 1, 1) if form.heads == "first" else y
    ends = y.transpose(1, 3).reshape(B, T, D, H).mT  # as a projection of (dim, head) reads it, which one token suggests
    y = {"view": y, "dims": y.mT, "ends": ends}.get(form.merged, y.transpose(1, 2))
    y = y.reshape(*x.shape[:2], -1)  # (B, T, H·D)
    if "projection" in block and form.projection:
        y = F.linear(y, block["projection"], block.get("projection_bias"))  # (B, T, C)
    if form.gate == "after the projection":
        y = y * changed.opened(block, read).transpose(1, 2).reshape(y.shape)
    return y * gains.get("attention", 1.0)


def _weights_and_values(block: Weights, x: torch.Tensor, before: torch.Tensor, form: Form) -> tuple:
    """The attention weights (B, H, T, T) and the values (B, H, T, D)."""
    T, C = x.shape[1:]
    heads = {name: _heads(block, name, x if name in form.normed else before, form) for name in "qkv"}
    if form.same:
        heads[form.same[0]] = heads[form.same[-1]]
    if form.same_heads:
        heads = {name: value[:, :1].expand_as(value) for name, value in heads.items()}
    q, k, v = changed.prepared(block, heads, form)
    if form.swapped:
        q, k = k, q
    if form.qk_norm and not form.qk_late:
        q, k, v = changed.normalized(block, q, k, v, form)
    if "rotary" in block and not form.slopes:
        angles = _angles(T, q.shape[-1], C, form).to(x.dtype)  # (T, D/2)
        if form.rotary_heads == "first":
            angles = angles * (torch.arange(q.shape[1]) == 0)[:, None, None]  # (H, T, D/2)
        q = _rotate(q, angles, form) if "q" in form.rotated else q
        k = _rotate(k, -angles if form.opposite else angles, form) if "k" in form.rotated else k
        v = _rotate(v, angles, form) if "v" in form.rotated else v
    if form.qk_late:
        q, k, v = changed.normalized(block, q, k, v, form)
    q, k, v = (changed.shared(each, block["q"].shape[0], form) for each in (q, k, v))
    if form.slopes or form.window:
        factor = scale(form.scale, q.shape[-1], C)
        return changed.weights(q @ k.mT * factor, block, factor, form), v
    return _attention_weights(q, k, C, form), v


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, form: Form) -> torch.Tensor:
    """Queries and keys (…, T, D), values (…, T, E) → (…, T, E)."""
    return _attention_weights(q, k, q.shape[-1], form) @ v


def _attention_weights(q: torch.Tensor, k: torch.Tensor, C: int, form: Form) -> torch.Tensor:
    """(…, T, T)."""
    factor = scale(form.scale, q.shape[-1], C)
    weights = _softmax(q @ k.transpose(-2, -1) * (1.0 if form.weights_scaled else factor), form)
    weights = weights * (factor if form.weights_scaled else 1.0)
    return weights.transpose(-2, -1) if form.transposed else weights


def _softmax(scores: torch.Tensor, form: Form) -> torch.Tensor:
    past = torch.ones(scores.shape[-2:], dtype=torch.bool).tril({"ahead": 1, "strict": -1}.get(form.mask, 0))
    seen = {"future": past.mT, "exchanged": ~past, "exchanged to 0": ~past}.get(form.mask, past)
    if form.mask == "added":
        scores = scores + seen
    elif form.mask not in ("none", "after"):
        hidden = float(form.mask) if form.mask in ("0", "-1", "-10") else torch.finfo(scores.dtype).min
        scores = scores.masked_fill(~seen, hidden)
    weights = F.softmax(scores, dim={"keys": -1, "queries": -2, "heads": 1}[form.softmax])
    return weights * seen if form.mask in ("after", "exchanged to 0") else weights


def _heads(block: Weights, name: str, x: torch.Tensor, form: Form) -> torch.Tensor:
    """Queries, keys or values (B, H, T, D)."""
    (B, T), (H, D) = x.shape[:2], block[name].shape[:2]
    y = F.linear(x, block[name].flatten(0, 1))  # (B, T, H·D)
    bias = block.get(f"{name}_bias")
    y = y if bias is None else y + bias.flatten()
    if not form.split or name not in form.split_of:
        return y.view(B, T, H, D).transpose(1, 2)
    return y.view(B, H, T, D) if form.split == "view" else y.view(B, T, D, H).transpose(1, 2)


def scale(name: str | float, D: int, C: int) -> float:
    """The factor of the scores, which a form names by its divisor, or itself."""
    if not isinstance(name, str):
        return name
    factors = {"√D": D**-0.5, "√C": C**-0.5, "1": 1.0, "D": 1 / D, "C": 1 / C, "1/√D": D**0.5, "1/√C": C**0.5}
    return factors[name]


def _angles(T: int, D: int, C: int, form: Form) -> torch.Tensor:
    pairs = torch.arange(D // 2)
    exponents = {
        "2i/D": 2 * pairs / D,
        "i/D": pairs / D,
        "2i/C": 2 * pairs / C,
        "0": 0.0 * pairs,
        "2(i+1)/D": 2 * (pairs + 1) / D,
        "2i/(D/2)": 4 * pairs / D,
    }[form.exponent]
    positions = torch.arange(T, dtype=torch.float64)[:, None]
    return form.direction * form.step * positions * form.base ** -exponents.double()


def _rotate(x: torch.Tensor, angles: torch.Tensor, form: Form) -> torch.Tensor:
    halves = form.layout == "halves"
    first, second = x.chunk(2, dim=-1) if halves else (x[..., 0::2], x[..., 1::2])
    by_cos, by_sin = (first, form.signs[1] * second), (form.signs[0] * second, first)
    x, turned = (
        torch.cat(each, dim=-1) if halves else torch.stack(each, dim=-1).flatten(-2) for each in (by_cos, by_sin)
    )
    as_halves = halves != form.angles_of_other
    angles = torch.cat([angles, angles], dim=-1) if as_halves else angles.repeat_interleave(2, dim=-1)  # (…, D)
    return x * angles.cos() + turned * angles.sin()


def _feed_forward(block: Weights, x: torch.Tensor, activation: str, form: Form, gains: dict) -> torch.Tensor:
    if form.activation_first:
        x = F.relu(x)
    if "gate" in block:
        gate, widen = (F.linear(x, block[name], block.get(f"{name}_bias")) for name in ("gate", "widen"))
        x = changed.join(gate, widen, form.gated) * gains.get("inside", 1.0)
    else:
        x = F.linear(x, block["widen"], block.get("widen_bias"))
        x = ACTIVATIONS[activation](x) * gains.get("inside", 1.0)
    if "narrow" in block:
        x = F.linear(x, block["narrow"], block.get("narrow_bias"))
    if form.last_activation:
        x = ACTIVATIONS[activation](x)
    return x * gains.get("feed_forward", 1.0)
