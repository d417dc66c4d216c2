"""The six models once more, as plain functions with loops: slow, and written apart from the scripts."""

import math

import torch


def logits(task, weights, tokens, n_head):
    """Tokens (B, T) → logits (B, T, V) by the formulas of the papers, position by position.

    `weights` is the state dict of the task's model; `task` its number.
    """
    n_embd = weights["token_embedding.weight"].shape[1]
    out = []
    for row in tokens.tolist():
        stream = [
            weights["token_embedding.weight"][token] + weights["position_embedding.weight"][position]
            for position, token in enumerate(row)
        ]
        if task <= 3:
            stream = _attend(task, weights, "attention", stream, n_embd, n_head)
            if task == 3:
                stream = [_feed_forward(task, weights, "feed_forward", x) for x in stream]
        else:
            n_layer = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
            for layer in range(n_layer):
                stream = _block(task, weights, f"blocks.{layer}", stream, n_embd, n_head)
        if task >= 6:
            stream = [_norm(weights, "output_norm", x) for x in stream]
        out.append(torch.stack([_linear(weights, "output", x) for x in stream]))
    return torch.stack(out)


def _block(task, weights, name, stream, n_embd, n_head):
    def normed(which, x):
        return _norm(weights, f"{name}.{which}_norm", x) if task >= 6 else x

    inputs = [normed("attention", x) for x in stream]
    branch = _attend(task, weights, f"{name}.attention", inputs, n_embd, n_head)
    stream = [x + y for x, y in zip(stream, branch, strict=True)] if task >= 5 else branch
    branch = [_feed_forward(task, weights, f"{name}.feed_forward", normed("feed_forward", x)) for x in stream]
    return [x + y for x, y in zip(stream, branch, strict=True)] if task >= 5 else branch


def _attend(task, weights, name, stream, n_embd, n_head):
    heads = []
    for head in range(n_head):
        if task == 1:
            key, query, value = (weights[f"{name}.{part}.weight"] for part in ("key", "query", "value"))
        else:
            key, query, value = weights[f"{name}.heads.{head}.weight"].chunk(3)
        mixed = []
        for t, x in enumerate(stream):
            width = len(query) if task == 1 else n_embd  # the documented runs' slip, from task 2 on
            fits = [math.exp((query @ x) @ (key @ past) / math.sqrt(width)) for past in stream[: t + 1]]
            values = [fit * (value @ past) for fit, past in zip(fits, stream[: t + 1], strict=True)]
            mixed.append(sum(values) / sum(fits))
        heads.append(mixed)
    out = [torch.cat(parts) for parts in zip(*heads, strict=True)]
    return [_linear(weights, f"{name}.projection", x) for x in out] if task >= 5 else out


def _feed_forward(task, weights, name, x):
    x = _linear(weights, f"{name}.layers.0", x).clamp(min=0)
    return _linear(weights, f"{name}.layers.2", x) if task >= 5 else x


def _linear(weights, name, x):
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def _norm(weights, name, x):
    x = (x - x.mean()) / torch.sqrt(x.var(unbiased=False) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]
