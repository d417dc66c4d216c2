"""The pieces that are modules of a model: multi_head_attention, mlp, block and gpt, with their courses' arguments.

The check puts a module between token and position embeddings and an output layer, and looks at the model that results
as at a task's (check/stages). What is here is what those stages lack.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable

from check import reference
from check.matching import Sizes
from check.result import Failure
from check.stages.gradients import loss_is_right
from check.stages.parameters import count
from check.subject import B, Model, Subject, close, off
from check.suites import optimizers, task
from common.exercises import WHOLE
from exercises import build
from exercises.catalogue import EXERCISES

import torch


def stages(name: str) -> list[Callable[[Subject], str]]:
    """The stages of such a piece."""
    model, whole = reference.TASKS[name], name in WHOLE
    found: list[Callable[[Subject], str]] = [task.identity, interface]
    found += [task.shapes if whole else shapes, task.steadiness]
    found += [task.causality] if model.attention else []
    found += [task.position] if whole else []
    found += [task.parameters, task.logits, task.sizes, task.dropout]
    found += [bidirectional] if model.heads_alone else []
    found += [loss, initialization, optimizer, task.generation] if whole else []
    return [*found, task.gradients]


def official_signature(name: str) -> str:
    """A piece's class and its arguments, as its official file has them."""
    kind = EXERCISES[name].kind
    return f"{kind}{build.official_signature(name, kind)}"


def find(subject: Subject, name: str, signature: str) -> str:
    """The name that the learner gave to a piece's class. Raises Failure where there is none, or several could be."""
    found = subject.session.ask("piece_classes", piece=subject.name)
    if len(found) != 1:
        raise Failure(
            what=f"the file defines {name}",
            expected=signature,
            got=f"several that could be it: {', '.join(found)}"
            if found
            else f"no such class among {', '.join(subject.defined[-8:])}",
            question=f"Which of these is {name}?" if found else f"What is the class called that is {name}?",
        )
    return found[0]


def try_out(subject: Subject, model: Model) -> None:
    """A forward pass, to find what is not written yet; of what is wrong in it a later stage says more."""
    with contextlib.suppress(Failure):
        subject.session.ask("logits", model=model.number, tokens=subject.tokens(B, 3, model.sizes.V))


def interface(subject: Subject) -> str:
    """The class, its arguments, and a forward pass."""
    name, signature = subject.name, official_signature(subject.name)
    found = find(subject, EXERCISES[name].kind, signature)
    try:
        model = subject.build(subject.small_sizes)
        arguments_fit(subject, model, signature)
    except Failure as failure:
        if "TypeError" not in failure.got and "KeyError" not in failure.got:
            raise
        raise Failure(
            what=f"{EXERCISES[name].kind} takes its arguments",
            expected=signature,
            got=failure.got,
            question="Which arguments does the exercise have, and in which order?",
        ) from None
    try_out(subject, model)
    return built(subject, found)


def built(subject: Subject, found: str) -> str:
    """What the interface of a class that is there is: its arguments, by the learner's names for them."""
    return f"{found}: is built with {', '.join(subject.session.ask('built_with')) or 'no arguments'}"


def arguments_fit(subject: Subject, model: Model, signature: str) -> None:
    """Several heads are asked for, or one head's projection is noted; and the exercises' dropout is there."""
    if subject.task.feed_forward and not subject.takes("dropout"):
        raise Failure(
            what=f"{EXERCISES[subject.name].kind} takes its arguments",
            expected=signature,
            got="no argument dropout",
            question="Where does the exercise have dropout?",
        )
    if subject.task.heads_alone and not subject.takes("n_head"):
        raise Failure(
            what="attention has several heads",
            expected=signature,
            got="no argument for their number",
            question="How many heads? A single head is the exercise before: python -m check self_attention FILE",
        )
    C = model.sizes.C
    extra = model.count() - count(subject, model.sizes)
    subject.projects = subject.is_one_head and C * C <= extra <= C * C + 4 * C


def shapes(subject: Subject) -> str:
    """Vectors (B, T, C) → (B, T, C), for T from one to the longest."""
    model = subject.small_model()
    sizes = model.sizes
    for rows, length in ((1, 1), (B, 3), (B, sizes.T)):
        subject.sizes_used = f"B = {rows}, T = {length}, hidden_size = {sizes.C}, n_head = {sizes.H}"
        x = torch.randn(rows, length, sizes.C, generator=subject.generator(31))
        output = subject.session.ask("module_output", model=model.number, x=x)
        got = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        if got != tuple(x.shape):
            raise Failure(
                what="the output has the shape of the input",
                expected=tuple(x.shape),
                got=got,
                question="Which line changes an axis that it should keep, and does forward return one tensor?",
            )
    return f"(B, T, C) → (B, T, C) for T = 1, 3, {sizes.T}"


def bidirectional(subject: Subject) -> str:
    """Without the causal flag every position sees all."""
    if not subject.takes("causal"):
        return "no argument causal: always causal"
    sizes = subject.small_sizes
    model = subject.fill(subject.build(sizes, causal=False))
    tokens = subject.tokens(B, sizes.T, sizes.V)
    got = subject.logits(model, tokens)
    form = dataclasses.replace(subject.form, mask="none")
    expected = reference.logits(subject.task, subject.weights(model), tokens, form)
    if not close(got, expected):
        causal = reference.logits(subject.task, subject.weights(model), tokens, subject.form)
        raise Failure(
            what="with causal=False every position sees all others",
            expected="the same attention without a mask",
            got="the causal one" if close(got, causal) else off(got, expected),
            question="What does the flag switch: only the mask?",
        )
    return "with causal=False without a mask"


def loss(subject: Subject) -> str:
    """forward(x, y) returns the logits and the mean cross-entropy of y."""
    model = subject.small_model()
    x, y = (subject.tokens(B, model.sizes.T, model.sizes.V, salt=salt) for salt in (41, 42))
    output = subject.session.ask("loss", model=model.number, tokens=x, targets=y)
    logits = subject.logits(model, x)
    got = next((part for part in output if isinstance(part, torch.Tensor) and part.ndim == 0), None)
    if not isinstance(output, list) or got is None:
        raise Failure(
            what="forward(x, y) returns (logits, loss)",
            expected="two tensors: (N, T, V) and a number",
            got=[tuple(part.shape) if isinstance(part, torch.Tensor) else part for part in output]
            if isinstance(output, list)
            else f"one tensor {tuple(output.shape)}",
            question="What does forward return?",
        )
    loss_is_right(subject, got, logits, y)
    return "(logits, loss), the mean cross-entropy"


def _deviation(values: torch.Tensor, sizes: Sizes) -> tuple[str, str]:
    """Where the deviation of initial weights comes from, and the question that leads there."""
    layers = "Which layers does the initialization reach, and which have another standard deviation?"
    std, L = float(values.std()), sizes.L
    known = {
        "0.02, as other layers have": (0.02, "Which layers' deviation is divided by √(2 · n_layer)?"),
        "0.02 / √(2 · n_layer)": (0.02 / math.sqrt(2 * L), "Which layers should have that?"),
        "1, as nn.Embedding draws": (1.0, "Which layers does the initialization leave as PyTorch draws them?"),
        **{
            name: (value, "What is under the root: is it 0.02 / √(2 · n_layer)?")
            for name, value in {
                "0.02 / √2 · n_layer": 0.02 / math.sqrt(2) * L,
                "0.02 / √n_layer": 0.02 / math.sqrt(L),
                "0.02 / (2 · n_layer)": 0.02 / (2 * L),
                "0.02 / n_layer": 0.02 / L,
                "0.02 / √2": 0.02 / math.sqrt(2),
                "0.02 · √(2 · n_layer)": 0.02 * math.sqrt(2 * L),
                "1 / √(2 · n_layer)": 1 / math.sqrt(2 * L),
            }.items()
        },
        "√0.02": (math.sqrt(0.02), "Is 0.02 the variance, or the deviation, which normal_ takes?"),
    }
    if values.abs().max() < 1.8 * std:  # √3 of uniform numbers
        return ", uniform: as PyTorch draws them", "Which layers does the initialization not reach?"
    name = min(known, key=lambda name: abs(math.log(std / known[name][0]))) if std else ""
    if name and abs(std / known[name][0] - 1) < 0.05:
        return f", which is {name}", known[name][1]
    return "", layers


def initialization(subject: Subject) -> str:
    """Normal weights of standard deviation 0.02, smaller at the end of each MLP, zero biases."""
    sizes = Sizes(V=65, C=64, H=4, D=16, T=64, L=8)
    model = subject.build(sizes)
    weights = subject.weights(model)
    small = 0.02 / math.sqrt(2 * sizes.L)
    wanted: dict[str, tuple[float, ...]] = {"token": (0.02,), "position": (0.02,)}
    found = {name: weights[name] for name in wanted}
    inside = {
        "q": (0.02,),
        "k": (0.02,),
        "v": (0.02,),
        "projection": (0.02,),
        "widen": (0.02,),
        "narrow": (small,),
    }
    for name, stds in inside.items():
        wanted[name] = stds
        found[name] = torch.stack([block[name] for block in weights["blocks"]])
    names = {"narrow": "the MLPs' output layers", "widen": "the MLPs' first layers", "projection": "the projections"}
    for name, values in found.items():
        std, mean = float(values.std()), float(values.mean())
        if not any(abs(std / right - 1) < 0.1 for right in wanted[name]) or abs(mean) > 0.1 * std:
            said, question = _deviation(values, sizes)
            raise Failure(
                what="weights are drawn from a normal distribution",
                expected=f"{names.get(name, name)}: mean 0, deviation {wanted[name][0]:.4f} at n_layer = {sizes.L}",
                got=f"mean {mean:.4f}, deviation {std:.4f}{said}",
                question=question,
            )
    biases = [(name, block[name]) for block in weights["blocks"] for name in block if name.endswith("bias")]
    wrong = [name for name, values in biases if values.abs().max() > 0]
    if wrong:
        raise Failure(
            what="biases start at zero",
            expected="all biases 0",
            got=f"not {wrong[0].replace('_', ' ')}",
            question="Which biases does the initialization leave as PyTorch draws them?",
        )
    return f"normal, 0.02 and {small:.4f} at n_layer = {sizes.L}; biases 0"


def optimizer(subject: Subject) -> str:
    """The optimizer's groups and settings, where the file makes one (suites/optimizers.py)."""
    if not subject.session.ask("has", function="configure_optimizers"):
        return "not compared: GPT has no configure_optimizers"
    return "; ".join(look(subject) for look in (optimizers.parameters, optimizers.decay, optimizers.settings))
