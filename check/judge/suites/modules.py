"""The pieces that are modules of a model: multi_head_attention, mlp, block and gpt, with their courses' arguments.

The check puts a module between token and position embeddings and an output layer, and looks at the model that results
as at a task's (check/judge/stages). What is here is what those stages lack.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable

from check.judge import reference
from check.judge.learner_file import B, LearnerFile, close, off
from check.judge.matching import Sizes, count
from check.judge.result import Failure
from check.judge.stages.learning import loss_is_right
from check.judge.stages.start import only
from check.judge.suites import optimizers, task
from common.exercises import WHOLE
from exercises import build
from exercises.catalogue import EXERCISES

import torch


def stages(name: str) -> list[Callable[[LearnerFile], str]]:
    """The stages of such a piece."""
    model, whole = reference.TASKS[name], name in WHOLE
    found: list[Callable[[LearnerFile], str]] = [task.identity, interface]
    found += [task.shapes if whole else shapes, task.steadiness]
    found += [task.causality] if model.attention else []
    found += [task.position] if whole else []
    found += [task.parameters, task.logits, task.sizes, task.dropout]
    found += [bidirectional] if model.heads_alone else []
    found += [loss, initialization, optimizer, task.generation] if whole else []
    return [*found, task.gradients]


def interface(learner: LearnerFile) -> str:
    """The class, its arguments, and a forward pass."""
    kind, process = EXERCISES[learner.name].write[-1].partition(".")[0], learner.process
    signature = f"{kind}{build.official_signature(learner.name, kind)}"
    found = only(learner, process.ask("piece_classes", piece=learner.name), kind, signature, "class")

    def refused(got: str, hint: str, what: str = f"{kind} takes its arguments") -> Failure:
        return Failure(what=what, expected=signature, got=got, hint=hint)

    try:
        model = learner.build(learner.small_sizes)
    except Failure as failure:
        if "TypeError" not in failure.got and "KeyError" not in failure.got:
            raise
        raise refused(failure.got, "Which arguments does the exercise have, and in which order?") from None
    if not learner.is_free:
        if learner.task.feed_forward and not learner.takes("dropout"):
            raise refused("no argument dropout", "Where does the exercise have dropout?")
        if learner.task.heads_alone and not learner.takes("n_head"):
            hint = "How many heads? A single head is the exercise before: python -m check self_attention FILE"
            raise refused("no argument for their number", hint, "attention has several heads")
        C, extra = model.sizes.C, model.count() - count(learner.task, model.sizes)
        if learner.is_one_head and C * C <= extra <= C * C + 4 * C:  # which a course may leave out
            learner.chosen["projection"] = True
    with contextlib.suppress(Failure):  # to find what is not written yet; of what is wrong a later stage says more
        process.ask("logits", model=model.number, tokens=learner.tokens(B, 3, model.sizes.V))
    return f"{found}: is built with {', '.join(process.ask('built_with')) or 'no arguments'}"


def shapes(learner: LearnerFile) -> str:
    """Vectors (B, T, C) → (B, T, C), for T from one to the longest."""
    model = learner.small_model()
    sizes = model.sizes
    for rows, length in ((1, 1), (B, 3), (B, sizes.T)):
        learner.sizes_used = f"B = {rows}, T = {length}, hidden_size = {sizes.C}, n_head = {sizes.H}"
        x = torch.randn(rows, length, sizes.C, generator=learner.generator(31))
        output = learner.process.ask("module_output", model=model.number, x=x)
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        if got != tuple(x.shape):
            raise Failure(
                what="the output has the shape of the input",
                expected=tuple(x.shape),
                got=got,
                hint="Which line changes an axis that it should keep, and does forward return one tensor?",
            )
    return f"(B, T, C) → (B, T, C) for T = 1, 3, {sizes.T}"


def bidirectional(learner: LearnerFile) -> str:
    """Without the causal flag every position sees all."""
    if not learner.takes("causal"):
        return "no argument causal: always causal"
    sizes = learner.small_sizes
    model = learner.fill(learner.build(sizes, causal=False))
    tokens = learner.tokens(B, sizes.T, sizes.V)
    got = learner.logits(model, tokens)
    form = dataclasses.replace(learner.form, mask="none")
    expected = reference.logits(learner.task, learner.weights(model), tokens, form)
    if not close(got, expected):
        causal = reference.logits(learner.task, learner.weights(model), tokens, learner.form)
        raise Failure(
            what="with causal=False every position sees all others",
            expected="the same attention without a mask",
            got="the causal one" if close(got, causal) else off(got, expected),
            hint="What does the flag switch: only the mask?",
        )
    return "with causal=False without a mask"


def loss(learner: LearnerFile) -> str:
    """forward(x, y) returns the logits and the mean cross-entropy of y."""
    model = learner.small_model()
    x, y = (learner.tokens(B, model.sizes.T, model.sizes.V, salt=salt) for salt in (41, 42))
    output = learner.process.ask("loss", model=model.number, tokens=x, targets=y)
    logits = learner.logits(model, x)
    parts = output if isinstance(output, list) else [output]
    got = next((part for part in parts if isinstance(part, torch.Tensor) and part.ndim == 0), None)
    if not isinstance(output, list) or got is None:
        shapes = [tuple(part.shape) if isinstance(part, torch.Tensor) else part for part in parts]
        raise Failure(
            what="forward(x, y) returns (logits, loss)",
            expected="two tensors: (N, T, V) and a number",
            got=shapes if isinstance(output, list) else f"one tensor {shapes[0]}",
            hint="What does forward return?",
        )
    loss_is_right(learner, got, logits, y)
    return "(logits, loss), the mean cross-entropy"


ROOT = "What is under the root: is it 0.02 / √(2 · n_layer)?"


def _deviation(values: torch.Tensor, sizes: Sizes) -> tuple[str, str]:
    """Where the deviation of initial weights comes from, and the hint that leads there."""
    std, L = float(values.std()), sizes.L
    known = {
        "0.02, as other layers have": (0.02, "Which layers' deviation is divided by √(2 · n_layer)?"),
        "0.02 / √(2 · n_layer)": (0.02 / math.sqrt(2 * L), "Which layers should have that?"),
        "1, as nn.Embedding draws": (1.0, "Which layers does the initialization leave as PyTorch draws them?"),
        "0.02 / √2 · n_layer": (0.02 / math.sqrt(2) * L, ROOT),
        "0.02 / √n_layer": (0.02 / math.sqrt(L), ROOT),
        "0.02 / (2 · n_layer)": (0.02 / (2 * L), ROOT),
        "0.02 / n_layer": (0.02 / L, ROOT),
        "0.02 / √2": (0.02 / math.sqrt(2), ROOT),
        "0.02 · √(2 · n_layer)": (0.02 * math.sqrt(2 * L), ROOT),
        "1 / √(2 · n_layer)": (1 / math.sqrt(2 * L), ROOT),
        "√0.02": (math.sqrt(0.02), "Is 0.02 the variance, or the deviation, which normal_ takes?"),
    }
    if values.abs().max() < 1.8 * std:  # √3 of uniform numbers
        return ", uniform: as PyTorch draws them", "Which layers does the initialization not reach?"
    name = min(known, key=lambda name: abs(math.log(std / known[name][0]))) if std else ""
    if name and abs(std / known[name][0] - 1) < 0.05:
        return f", which is {name}", known[name][1]
    return "", "Which layers does the initialization reach, and which have another standard deviation?"


def initialization(learner: LearnerFile) -> str:
    """Normal weights of standard deviation 0.02, smaller at the end of each MLP, zero biases."""
    sizes = Sizes(V=65, C=64, H=4, D=16, T=64, L=8)
    weights = learner.weights(learner.build(sizes))
    blocks, small = weights["blocks"], 0.02 / math.sqrt(2 * sizes.L)
    inside = ("q", "k", "v", "projection", "widen", "narrow")
    found = {name: weights[name] for name in ("token", "position")}
    found |= {name: torch.stack([block[name] for block in blocks]) for name in inside}
    names = {"narrow": "the MLPs' output layers", "widen": "the MLPs' first layers", "projection": "the projections"}
    for name, values in found.items():
        std, mean, wanted = float(values.std()), float(values.mean()), small if name == "narrow" else 0.02
        if not abs(std / wanted - 1) < 0.1 or abs(mean) > 0.1 * std:
            said, hint = _deviation(values, sizes)
            raise Failure(
                what="weights are drawn from a normal distribution",
                expected=f"{names.get(name, name)}: mean 0, deviation {wanted:.4f} at n_layer = {sizes.L}",
                got=f"mean {mean:.4f}, deviation {std:.4f}{said}",
                hint=hint,
            )
    wrong = [name for block in blocks for name in block if name.endswith("bias") and block[name].any()]
    if wrong:
        raise Failure(
            what="biases start at zero",
            expected="all biases 0",
            got=f"not {wrong[0].replace('_', ' ')}",
            hint="Which biases does the initialization leave as PyTorch draws them?",
        )
    return f"normal, 0.02 and {small:.4f} at n_layer = {sizes.L}; biases 0"


def optimizer(learner: LearnerFile) -> str:
    """The optimizer's groups and settings, where the file makes one (suites/optimizers.py)."""
    if not learner.process.ask("has", function="configure_optimizers"):
        return "not compared: GPT has no configure_optimizers"
    return "; ".join(look(learner) for look in (optimizers.parameters, optimizers.decay, optimizers.settings))
