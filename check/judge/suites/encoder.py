"""Encoder(vocab_size, context_size, hidden_size, n_layer, n_head, dropout, causal), from torch.nn's layers or others.

Norms, activations, parameters and the scale of scores are free; the check tests what the model does.
"""

from check.judge.learner_file import LearnerFile
from check.judge.result import Failure
from check.judge.stages.learning import adamw
from check.judge.stages.reads import reads
from check.judge.suites import modules, task

import torch

STEPS = 120


def bidirectional(learner: LearnerFile) -> str:
    """With causal=False every position sees every other."""
    if not learner.takes("causal"):
        return "not compared: the class has no argument causal, and is a language model whatever is asked"
    model = learner.fill(learner.build(learner.small_sizes, causal=False))
    unread = (~reads(learner, model, model.sizes.T)).T.nonzero().tolist()
    if unread:
        raise Failure(
            what="with causal=False every position sees every other",
            expected=f"all positions see position {unread[0][0]}",
            got=f"position {unread[0][1]} does not",
            hint="Is causal passed on to each layer, and is there no mask if it is False?",
        )
    return "every position sees every other where causal is False"


def layers(learner: LearnerFile) -> str:
    """Each layer has its own parameters, and uses them."""
    used, idle, made = zip(*(_used(learner, layers) for layers in (1, 2, 3)), strict=True)
    one, two = used[1] - used[0], used[2] - used[1]
    if not (two > 0 and abs(one - two) <= two // 1000):  # a number between two layers is not one of them
        several = made[2] > made[1] > made[0]
        got = f"{used[0]:,} with 1 layer, {used[1]:,} with 2, {used[2]:,} with 3"
        raise Failure(
            what="each layer has its own parameters, and is used",
            expected="as many more parameters with a gradient for each layer",
            got=got + (f", of {made[0]:,}, {made[1]:,} and {made[2]:,} that there are" if several else ""),
            hint="Is each layer called, and does it read what the one before returned, not the embeddings?"
            if several
            else "Is a new layer made for each round, or is one layer called several times?",
        )
    if idle[0]:
        raise Failure(
            what="every parameter learns",
            expected="a gradient for each",
            got=f"none for {', '.join(idle[0][:4])}, or a part of it",
            hint="Is it used in forward, and is something detached, rounded or copied on the way?",
        )
    return f"{one:,} parameters more for each layer; the scale of scores is free here: not compared"


def _used(learner: LearnerFile, layers: int) -> tuple[int, list[str], int]:
    """How many parameters get a gradient; which matrices get none, or half of one; how many parameters there are."""
    model = learner.variant(L=layers)
    tokens = learner.tokens(64, model.sizes.T, model.sizes.V)
    got = learner.gradients(model, tokens, tokens)
    idle = []
    for name, gradient, value in zip(model.names, got, model.first_values, strict=True):
        is_table = bool({model.sizes.V, model.sizes.T} & {*value.shape})  # rows that a text leaves out have none
        if value.ndim > 1 and (gradient is None or (not is_table and (gradient == 0).double().mean() > 0.25)):
            idle.append(name)  # a norm's numbers may be left over: a model after post-LN blocks needs no last one
    return sum(gradient.numel() for gradient in got if gradient is not None), idle, model.count()


def learning(learner: LearnerFile) -> str:
    """A short run learns to go on with a pattern."""
    sizes = learner.small_sizes
    model = learner.build(sizes)
    leaves = [value.clone().requires_grad_() for value in model.first_values]
    step = adamw(leaves, lr=1e-2)
    start = torch.arange(8)[:, None] % sizes.V
    rows = (start + torch.arange(sizes.T + 1) * (1 + start % 3)) % sizes.V  # (8, T + 1), steps of 1, 2 or 3
    losses = []
    for _ in range(STEPS):
        learner.set(model, [leaf.detach() for leaf in leaves])
        got = learner.process.ask("gradients", model=model.number, tokens=rows[:, :-1], targets=rows[:, 1:])
        losses.append(got["loss"])
        step(got["gradients"])
    first, last = losses[0], losses[-1]
    if not last < 0.6 * first:
        raise Failure(
            what=f"{STEPS} steps learn a pattern",
            expected=f"a loss below {0.6 * first:.2f}",
            got=f"{last:.2f}, after {first:.2f} at the start",
            hint="Are logits at t computed from position t, and does each layer read the one before?",
        )
    return f"loss {first:.2f} before, {last:.2f} after {STEPS} steps"


STAGES = [
    task.identity,
    modules.interface,
    task.shapes,
    task.steadiness,
    task.causality,
    bidirectional,
    task.position,
    layers,
    learning,
]
