"""What the changes of task 9 in variants/ compute, right and wrong: the parts of the reference that only they have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from check.judge.reference import Form, Weights

import torch
from torch.nn import functional as F

EPS = 1e-5
ACTIVATIONS = {
    "relu": F.relu,
    "none": lambda x: x,
    "gelu": F.gelu,
    "gelu (tanh)": lambda x: F.gelu(x, approximate="tanh"),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "leaky relu": F.leaky_relu,
    "elu": F.elu,
    "relu²": lambda x: F.relu(x).square(),
}


# Norms, the MLP


def normalize(x: torch.Tensor, kind: str) -> torch.Tensor:
    """(…, C) as RMSNorm leaves it, or a wrong norm."""
    square = x.square().mean(dim=-1, keepdim=True)
    return {
        "rms": lambda: x / (square + EPS).sqrt(),
        "layer": lambda: F.layer_norm(x, x.shape[-1:], eps=EPS),
        "l2": lambda: F.normalize(x, dim=-1),
        "no root": lambda: x / (square + EPS),
        "absolute": lambda: x / (x.abs().mean(dim=-1, keepdim=True) + EPS),
        "largest": lambda: x / (x.abs().amax(dim=-1, keepdim=True) + EPS),
        "positions": lambda: x / (x.square().mean(dim=-2, keepdim=True) + EPS).sqrt(),
        "none": lambda: x,
    }[kind]()


def join(gate: torch.Tensor, widen: torch.Tensor, kind: str) -> torch.Tensor:
    """A gated MLP's two products as one."""
    if kind == "after":
        return F.silu(gate * widen)
    if kind in ("both", "sum", "alone"):
        gate = F.silu(gate)
        return {"both": gate * F.silu(widen), "sum": gate + widen, "alone": gate}[kind]
    return ACTIVATIONS[kind or "silu"](gate) * widen


# Queries, keys and values


def prepared(block: Weights, heads: dict[str, torch.Tensor], form: Form) -> list[torch.Tensor]:
    """Queries, keys and values, of which values are mixed with the first block's."""
    kind, _, what = form.first_values.partition(" of ")
    if not kind:
        return [*heads.values()]
    kept = block["kept"]
    for name in {"keys": "vk", "queries": "q"}.get(what, "v"):
        own = heads[name]
        first = own if block["number"] == 0 else kept[name]
        if block["number"] == 0 or what == "previous":
            kept[name] = own
        heads = heads | {name: _mixed(block, own, first, kind)}
        kept |= {name: heads[name]} if what == "mixed" else {}
    return [heads[each] for each in "qkv"]


def _mixed(block: Weights, own: torch.Tensor, first: torch.Tensor, kind: str) -> torch.Tensor:
    if block["number"] == 0 or kind == "none":
        return own
    mix = block["mix"]
    return {
        "share": lambda: mix[0] * first + (1 - mix[0]) * own,
        "other share": lambda: (1 - mix[0]) * first + mix[0] * own,
        "added": lambda: own + mix[0] * first,
        "half": lambda: (own + first) / 2,
        "sum": lambda: own + first,
        "two": lambda: mix[0] * first + mix[1] * own,
        "two exchanged": lambda: mix[1] * first + mix[0] * own,
        "alone": lambda: first,
        "difference": lambda: mix[0] * first - (1 - mix[0]) * own,
    }[kind]()


def normalized(block: Weights, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, form: Form) -> list[torch.Tensor]:
    """Queries, keys and perhaps values, normalized."""
    gains, made = block["gains"], []
    for name, x, number in (("q", q, 0), ("k", k, 1), ("v", v, 1)):
        kind = form.qk_norm
        if name in form.qk_normed:
            if kind == "all heads":
                B, H, T, D = x.shape
                x = normalize(x.transpose(1, 2).reshape(B, T, -1), "rms")
                x = x.view(B, T, H, D).transpose(1, 2)
            else:
                x = normalize(x, "l2" if kind == "l2 and a factor" else kind)
            x = x * gains[number] if gains else x
            x = x + gains[number + 2] if len(gains) == 4 else x
        made.append(x)
    if form.qk_norm == "l2 and a factor":
        made[0] = made[0] * block["factor"] * q.shape[-1] ** 0.5  # the factor alone multiplies the products
    return made


def shared(x: torch.Tensor, heads: int, form: Form) -> torch.Tensor:
    """(B, K, T, D) → (B, H, T, D): the head of keys or values of each head of queries."""
    K = x.shape[1]
    if heads == K:
        return x
    order = {
        "interleave": torch.arange(heads) // (heads // K),
        "tile": torch.arange(heads) % K,
        "first": torch.zeros(heads, dtype=torch.long),
        "reversed": K - 1 - torch.arange(heads) // (heads // K),
    }
    return (
        x.mean(dim=1, keepdim=True).expand(-1, heads, -1, -1) if form.grouped == "mean" else x[:, order[form.grouped]]
    )


# Scores, and what attention gives


def weights(scores: torch.Tensor, block: Weights, factor: float, form: Form) -> torch.Tensor:
    """Attention weights (B, H, T, T) of ALiBi, or of a sliding window."""
    H, T = scores.shape[1], scores.shape[-1]
    behind = torch.arange(T)[:, None] - torch.arange(T)  # (T, T)
    past = behind >= 0
    seen = _window(behind, block["window"], form.window) if form.window else past
    if form.mask == "ahead":
        seen = seen | (behind == -1)
    seen = torch.ones_like(past) if form.mask == "none" else seen
    if form.slopes:
        heads = torch.arange(1, H + 1)
        slope = {
            "from 0": 2.0 ** (-8 * (heads - 1) / H),
            "halves": 2.0**-heads,
            "same": torch.full((H,), 2.0 ** (-8 / H)),
            "reversed": 2.0 ** (-8 * (H + 1 - heads) / H),
            "raised": -(2.0 ** (-8 * heads / H)),
            "none": torch.zeros(H),
            "linear": heads / H,
        }.get(form.slopes, 2.0 ** (-8 * heads / H))
        slope = slope * (factor if form.slopes == "scaled" else 1.0)
        distance = behind.clamp(min=0).float()
        distance = {"logarithm": distance.log1p(), "square": distance.square()}.get(form.slopes, distance)
        scores = scores - slope[:, None, None] * distance
    return F.softmax(scores.masked_fill(~seen, torch.finfo(scores.dtype).min), dim=-1)


def _window(behind: torch.Tensor, window: int, kind: str) -> torch.Tensor:
    """(T, T), True where a query may look."""
    past, T = behind >= 0, len(behind)
    near = past & (behind < window)
    rows = torch.arange(T)
    return {
        "right": near,
        "long": past & (behind <= window),
        "short": past & (behind < window - 1),
        "both": behind.abs() < window,
        "none": past,
        "blocks": past & (rows[:, None] // window == rows // window),
        "dilated": past & (behind % 2 == 0) & (behind < 2 * window),
        "far": past & (behind >= window) | (behind == 0),
        "first": near | past & (rows == 0),
    }[kind]


def opened(block: Weights, x: torch.Tensor, function: Any = torch.sigmoid) -> torch.Tensor:
    """(B, H, T, D): how far each gate is open."""
    made = F.linear(x, block["head_gate"].flatten(0, 1))  # (B, T, H·D)
    made = made + block["head_gate_bias"].flatten() if "head_gate_bias" in block else made
    return function(made.unflatten(-1, block["head_gate"].shape[:2]).transpose(1, 2))


def gate(block: Weights, y: torch.Tensor, x: torch.Tensor, form: Form) -> torch.Tensor:
    """What attention gives (B, H, T, D), or its values, with the gate that x (B, T, C) opens."""
    other = {"softmax": lambda z: z.softmax(dim=-1), "twice": lambda z: 2 * z.sigmoid(), "open": torch.ones_like}
    open_ = opened(block, x, (ACTIVATIONS | other).get(form.gate, torch.sigmoid))
    return y + open_ if form.gate == "added" else y * open_


# Convolutions


def convolve(weights: Weights, name: str, x: torch.Tensor, form: Form) -> torch.Tensor:
    """(B, T, C) after the short convolution of a place, if there is one."""
    kernel = weights.get("kernels", {}).get(name)
    kind = form.convolved
    if kernel is None or not kind or kind == "none":
        return x
    T, start = x.shape[1], {"residual and now": 0, "now": 0, "late": 2}.get(kind, 1)
    total = torch.zeros_like(x) if kind in ("now", "past") else 2 * x if kind == "twice" else x
    for number, share in enumerate(kernel):
        back = (number + start) * (2 if kind == "dilated" else 1)
        if kind == "ahead":
            shifted = F.pad(x, (0, 0, 0, back))[:, back:]
        elif kind == "circular":
            shifted = x.roll(back, dims=1)
        elif kind == "repeated":
            shifted = torch.cat([x[:, :1].expand(-1, back, -1), x], dim=1)[:, :T]
        else:
            shifted = F.pad(x, (0, 0, back, 0))[:, :T]
        total = total - share * shifted if kind == "minus" else total + share * shifted
    return total
