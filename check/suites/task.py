"""The properties of a task's model, in an order in which a failure has one suspect."""

import contextlib
import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from check import matching, reference
from check.matching import Arrangement, Sizes, Unreadable
from check.reference import RIGHT_ACTIVATIONS, Form, Task, Weights
from check.result import Failure, Undecided
from check.subject import TOLERANCE, B, Model, Subject, close, off
from common.data import Corpus
from common.options import DEFAULT_TEXT

import torch
from torch.nn import functional as F

BANDS = Path(__file__).resolve().parent.parent / "bands.json"
TRAINING_STEPS = 100
PARTS_OF_A_MODEL = ("multi_head_attention", "mlp", "block")
MOST_WRONG = 4000  # comparisons that a search for the nearest wrong form may take
KEPT = 1 / 16  # the dropout rate that shows where dropout acts

STAGES: list[Callable[[Subject], str]] = []


def stage(function: Callable[[Subject], str]) -> Callable[[Subject], str]:
    """Register a stage. It returns what it found, or raises Failure, NotStarted or Undecided."""
    STAGES.append(function)
    return function


def stages(name: str) -> list[Callable[[Subject], str]]:
    """The stages of a task."""
    with_dropout = reference.TASKS[name].dropout
    return [each for each in STAGES if with_dropout or each is not dropout]


@stage
def identity(subject: Subject) -> str:
    """The file is the learner's, and importing it defines things without training."""
    digest = subject.identify()
    found = subject.session.ask("load")
    subject.fields, subject.defined = found["fields"] or [], found["names"]
    return f"{subject.path.name}, SHA-256 {digest}"


@stage
def interface(subject: Subject) -> str:
    """Config with the task's sizes, GPT(config, vocab_size), and its generate."""
    for name in ("Config", "GPT"):
        if name not in subject.defined:
            raise Failure(
                what=f"the file defines {name}",
                expected=name,
                got="no such name",
                question=f"What is the class called that is {name}?",
            )
    sizes = subject.small_sizes
    needed = [name for name in subject.config(sizes) if _is_needed(subject, name)]
    missing = [name for name in needed if name not in subject.fields]
    if missing:
        raise Failure(
            what="Config has the task's sizes",
            expected=", ".join(sorted(needed)),
            got=f"no {', '.join(sorted(missing))}",
            question="Which sizes does your model take from elsewhere than Config?",
        )
    model = subject.build(sizes)
    prompt = subject.tokens(B, 3, sizes.V)
    if not subject.session.ask("has", function="generate"):
        problem = "no such method"
    else:
        problem = subject.session.ask(
            "signature", function="generate", arguments=[None, prompt, 1], keywords={"temperature": 1.0}
        )
    if problem:
        raise Failure(
            what="GPT generates",
            expected="generate(tokens, max_new_tokens, temperature=1.0)",
            got=problem,
            question="How does your model write?",
        )
    with contextlib.suppress(Failure):  # a later stage says more about it; here it matters what is not written yet
        subject.session.ask("logits", model=model.number, tokens=prompt)
    return "Config, GPT, forward and generate are there"


def _is_needed(subject: Subject, name: str) -> bool:
    task = subject.task
    return {"n_layer": task.blocks, "dropout": task.dropout}.get(name, True)


@stage
def shapes(subject: Subject) -> str:
    """Tokens (B, T) → logits (B, T, V), for T from one to block_size."""
    model = subject.small_model()
    longest = model.sizes.T
    for rows, length in itertools.product((1, B), (1, 3, longest)):
        subject.sizes_used = f"B = {rows}, T = {length}, block_size = {longest}, V = {model.sizes.V}"
        tokens = subject.tokens(rows, length, model.sizes.V)
        got = tuple(subject.session.ask("logits", model=model.number, tokens=tokens)["logits"].shape)
        if got != (rows, length, model.sizes.V):
            question = "Which line of forward changes an axis that it should keep?"
            if got[:1] != (rows,) or len(got) != 3:
                question = "Does forward return logits for every position, (B, T, V)?"
            elif got[1] != length:
                question = f"Where does the model use block_size ({longest}) instead of the length of its input?"
            raise Failure(
                what=f"logits of {rows} × {length} tokens",
                expected=(rows, length, model.sizes.V),
                got=got,
                question=question,
            )
    return f"(B, T, V) for T = 1, 3, {longest}"


@stage
def steadiness(subject: Subject) -> str:
    """Finite numbers, the same each time in evaluation mode, each row by itself."""
    small = subject.small_model()
    model = subject.fill(subject.build(small.sizes, dropout=0.5)) if subject.task.dropout else small
    batch = subject.tokens(9, small.sizes.T, small.sizes.V)
    logits = subject.logits(model, batch)
    _finite(logits, "evaluation")
    if not torch.equal(logits, subject.logits(model, batch)):
        raise Failure(
            what="evaluation mode is deterministic",
            expected="the same logits twice",
            got="different ones",
            question="Does dropout know whether the model is training (self.training)?",
        )
    for row in range(len(batch)):
        alone = subject.logits(model, batch[row : row + 1])[0]
        if not close(alone, logits[row]):
            raise Failure(
                what="a row does not depend on the rest of the batch",
                expected=f"row {row} as it is alone",
                got=off(alone, logits[row]),
                question="Which operation mixes along the first axis?",
            )
    if subject.task.dropout:
        drawn = [subject.logits(model, batch, training=True) for _ in range(4)]
        for each in drawn:
            _finite(each, "training")
        if all(torch.equal(each, drawn[0]) for each in drawn):
            raise Failure(
                what="dropout acts in training",
                expected="different logits each time at dropout 0.5",
                got="the same",
                question="Where does your model use its dropout?",
            )
    return "finite, deterministic, rows independent"


def _finite(logits: torch.Tensor, mode: str) -> None:
    wrong = int((~logits.isfinite()).sum())
    if wrong:
        question = "Can all that a softmax reads be masked, or a number overflow? Along which axis is the softmax?"
        if mode == "training":
            question = "What becomes of a masked score, -inf, where dropout multiplies it by zero?"
        raise Failure(
            what=f"logits are finite in {mode} mode",
            expected="numbers",
            got=f"{wrong} of {logits.numel()} infinite or not a number",
            question=question,
        )


@stage
def causality(subject: Subject) -> str:
    """Later tokens change nothing, also where scores are large; earlier ones do."""
    small = subject.small_model()
    T, V = small.sizes.T, small.sizes.V
    loud = subject.fill(subject.build(small.sizes), loud=4.0)
    for model, length in ((small, T), (small, 4), (loud, T)):
        leak = _leak(subject, model, length)
        if leak:
            first, later, change = leak
            question = "Which columns may query t look at: up to t, or beyond? Along which axis is the softmax?"
            if model is loud:
                question = "Do masked scores become -inf before the softmax, or just small?"
            elif subject.task.n_head and not _leaks_with_one_head(subject):
                question = "One head alone is causal: in which order are the axes when heads are split and merged?"
            raise Failure(
                what="logits do not depend on later tokens",
                expected=f"position {first} blind to position {later} and on",
                got=f"its logits change by {change:.2g}",
                question=question,
            )
    batch = subject.tokens(1, T, V)
    pairs = [(t, past) for t in range(1, T) for past in range(t)]
    changed = batch.repeat(len(pairs), 1)
    for row, (_, past) in enumerate(pairs):
        changed[row, past] = (changed[row, past] + 1) % V
    before, after = subject.logits(small, batch)[0], subject.logits(small, changed)
    for row, (t, past) in enumerate(pairs):
        if close(after[row, t], before[t], 1e-6):
            raise Failure(
                what="logits depend on all earlier tokens",
                expected=f"position {t} sees position {past}",
                got="its logits stay the same",
                question="Does the mask let a query look at all of the past, and are the scores scaled down?",
            )
    return f"no position sees ahead, each sees the whole past (T = {T})"


def _leak(subject: Subject, model: Model, length: int) -> tuple[int, int, float] | None:
    """A position whose logits change with later tokens, the first of these, and by how much they change."""
    V = model.sizes.V
    batch = subject.tokens(B, length, V)
    before = subject.logits(model, batch)
    for t in range(1, length):
        changed = batch.clone()
        changed[:, t:] = (changed[:, t:] + 1 + subject.tokens(B, length - t, V, salt=t) % (V - 1)) % V
        change = (subject.logits(model, changed)[:, :t] - before[:, :t]).abs().amax(dim=(0, 2))
        if change.max() > 1e-4 * before.abs().max():
            return int(change.argmax()), t, float(change.max())
    return None


def _leaks_with_one_head(subject: Subject) -> bool:
    sizes = dataclasses.replace(subject.small_sizes, H=1, D=subject.small_sizes.C)
    return _leak(subject, subject.fill(subject.build(sizes)), sizes.T) is not None


@stage
def position(subject: Subject) -> str:
    """The model knows the order of its past."""
    model = subject.small_model()
    T = model.sizes.T
    batch = subject.tokens(1, T, model.sizes.V)
    batch[0, 0], batch[0, 1] = 3, 4
    swapped = batch.clone()
    swapped[0, 0], swapped[0, 1] = 4, 3
    if close(subject.logits(model, batch)[:, -1], subject.logits(model, swapped)[:, -1], 1e-5):
        raise Failure(
            what="the model knows the order of the past",
            expected="other logits when two earlier tokens change places",
            got="the same",
            question="What tells the model where a token stands?",
        )
    if subject.task.rotary:
        return "the model knows the order of the past"
    logits = subject.logits(model, torch.full((1, T), 3))[0]
    if close(logits[0], logits[1], 1e-5):
        raise Failure(
            what="equal tokens at different positions are told apart",
            expected="other logits at each position",
            got="the same",
            question="Is the position table looked up with the position, or with the token?",
        )
    return "the model knows the order of the past"


@stage
def parameters(subject: Subject) -> str:
    """As many as the lesson's model, give or take biases that do not matter."""
    model = subject.small_model()
    expected, got = count(subject, model.sizes), model.count()
    width, layers = model.sizes.H * model.sizes.D, model.sizes.L
    allowed = {layers * extra * width for extra in range(4 if subject.task.attention else 1)}
    if subject.task.projection:
        allowed |= {extra - layers * model.sizes.C for extra in allowed}
    if got - expected not in allowed:
        parts: dict[str, int] = {}
        for name, value in zip(model.names, model.first_values, strict=True):
            part = name.rpartition(".")[0] or name
            if subject.name in PARTS_OF_A_MODEL:
                if not part.startswith("module"):  # the check's own embeddings and output layer
                    continue
                part = part.removeprefix("module.")
            parts[part] = parts.get(part, 0) + value.numel()
        yours = ", ".join(f"{name} {size}" for name, size in parts.items())
        raise Failure(
            what="the number of parameters",
            expected=f"{expected} for V = {model.sizes.V}, n_embd = {model.sizes.C}",
            got=f"{got}, {abs(got - expected)} {'more' if got > expected else 'fewer'}: {yours}",
            question=_question_of_count(subject, model.sizes, got - expected),
        )
    try:
        subject.structure(model)
    except Unreadable as unreadable:
        if subject.session.ask("official_weights", model=model.number) is None:
            raise Undecided(
                f"as many parameters as in the lesson, but the check cannot tell which is which: {unreadable}. "
                "official_weights(model) can say so (docs/check.md)."
            ) from None
    return f"{got:,} at the check's sizes"


def _question_of_count(subject: Subject, sizes: Sizes, difference: int) -> str:
    """The question that leads to what is missing or too many."""
    V, C = sizes.V, sizes.C
    biases = {extra * sizes.L * C for extra in range(4)}
    if subject.task.tied and difference in {V * C + more for more in biases | {V}}:
        return "Are the weights of the output layer the token embedding's own, one parameter for both?"
    if subject.task.projection and difference in {more - sizes.L * (C * C + C) for more in biases}:
        return "Which layer mixes the heads after they are set side by side?"
    return "Which layer is missing, shared, or too many? Which has a bias too many or too few?"


def count(subject: Subject, sizes: Sizes) -> int:
    """Parameters of the lesson's model."""
    task, V, C = subject.task, sizes.V, sizes.C
    width = sizes.H * sizes.D
    block = 3 * width * C * task.attention + (C * C + C) * task.projection + 4 * C * task.norms
    block += {"": 0, "linear": C * C + C, "mlp": 8 * C * C + 5 * C}[task.feed_forward]
    output = (V * (width if not task.feed_forward else C) + V) * (not task.tied)
    return V * C + output + sizes.T * C * (not task.rotary) + sizes.L * block + 2 * C * task.last_norm


# Logits against the reference


def right_forms(subject: Subject) -> Iterator[Form]:
    """The forms that are right."""
    layouts = [("halves", 1)]
    if subject.task.rotary:
        layouts += [("neighbours", 1), ("halves", -1), ("neighbours", -1)]
    activations = RIGHT_ACTIVATIONS[subject.task.activation]
    for activation, (layout, direction), swapped, scale in itertools.product(
        activations, layouts, (False, True), subject.task.scales
    ):
        yield Form(scale=scale, layout=layout, direction=direction, swapped=swapped, activation=activation)


def _parts(subject: Subject) -> list[Form]:
    """The right forms that one token tells apart."""
    return [Form(activation=activation) for activation in RIGHT_ACTIVATIONS[subject.task.activation]]


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A form that learners write: what it is called, the question that leads to it, and how it differs."""

    name: str
    question: str
    changes: dict[str, Any]


def wrong(name: str, question: str, **changes: Any) -> Wrong:
    return Wrong(name, question, changes)


NORMS = "What does each norm read: the branch's input, or a sum?"
NO_SKIPS = "Does this task have skips yet?"
ACTIVATION = "Which activation has this task?"
EXPONENT = "Which exponent has pair i: -2i/D or another?"
TURNED = "Which of q, k and v are turned?"
BASE = "Which number is raised to a power: 10,000 or another?"
OTHER_ACTIVATIONS = ("relu", "gelu", "gelu (tanh)", "tanh", "sigmoid", "silu", "leaky relu", "elu", "relu²")

# Those that one token shows.
WRONG_PARTS = [
    wrong(
        "without its activation", "What stands between the feed-forward part's layers, or after it?", activation="none"
    ),
    *(wrong(f"with {name} as activation", ACTIVATION, activation=name) for name in OTHER_ACTIVATIONS),
    wrong("with a ReLU after the MLP's last layer", "Which layer of the MLP is the last?", last_activation=True),
    wrong("without the skip around attention", "What is added to attention's output?", attention_skip=False),
    wrong("without the skip around the MLP", "What is added to the MLP's output?", feed_forward_skip=False),
    wrong("without skips", "What does a branch add to?", attention_skip=False, feed_forward_skip=False),
    wrong("with a skip around attention", NO_SKIPS, attention_skip=True),
    wrong("with a skip around the feed-forward part", NO_SKIPS, feed_forward_skip=True),
    wrong("with skips", NO_SKIPS, attention_skip=True, feed_forward_skip=True),
    wrong("with norms after the sums (post-LN)", NORMS, norm="post"),
    wrong("with norms after the sums (post-LN) and no last norm", NORMS, norm="post", final_norm=False),
    wrong("without the blocks' norms", "Which line uses the norms of a block?", norm="none"),
    wrong("without the last norm", "What stands between the last block and the output layer?", final_norm=False),
    wrong("with skips that add the normalized stream", "Does a skip carry x, or the norm of x?", skip_of_norm=True),
    wrong("with the feed-forward part before attention", "Which comes first?", feed_forward_first=True),
    wrong("with attention and MLP side by side", "Does the MLP read what attention has added?", parallel=True),
    wrong("without the projection", "What becomes of the heads' outputs before they are added?", projection=False),
    wrong("with keys in place of values", "What is averaged: keys or values?", value_of_key=True),
    wrong("without positions", "Where are positions added?", positions=False),
    wrong("with token embeddings times √n_embd", "Is the token embedding scaled in this task?", token_scale="√C"),
]
# Those that need a past.
WRONG_SCORES = [
    wrong("without the scale of the scores", "What divides the scores before the softmax?", scale="1"),
    wrong("with scores divided by √n_embd, not √head_size", "How wide is what is multiplied in one head?", scale="√C"),
    wrong("with scores divided by head_size, not its root", "Which power of head_size divides the scores?", scale="D"),
    wrong("with scores divided by n_embd, not by a root", "Which power divides the scores?", scale="C"),
    wrong("with scores multiplied by √head_size", "Are scores divided or multiplied?", scale="1/√D"),
    wrong("with scores multiplied by √n_embd", "Are scores divided or multiplied?", scale="1/√C"),
]
WRONG_ROTATIONS = [
    wrong("without a rotation", "Which line turns queries and keys?", rotated=""),
    wrong("with queries turned, but not keys", TURNED, rotated="q"),
    wrong("with keys turned, but not queries", TURNED, rotated="k"),
    wrong("with values turned, too", TURNED, rotated="qkv"),
    wrong("with keys turned against queries", "In which direction are queries turned, and keys?", opposite=True),
    *(wrong(f"with frequencies of base {base:g}", BASE, base=base) for base in (100.0, 1e3, 1e5, 5e5, 1e6)),
    wrong("with exponents i/D", EXPONENT, exponent="i/D"),
    wrong("with exponents 2i/n_embd", "Which width divides the exponents?", exponent="2i/C"),
    wrong("with one frequency for all pairs", "Does the frequency depend on the pair?", exponent="0"),
    wrong("with exponents 2(i + 1)/D", "Which frequency has the first pair?", exponent="2(i+1)/D"),
    wrong("with exponents 4i/D", EXPONENT, exponent="2i/(D/2)"),
    wrong("with a rotation in the first block only", "Do all blocks turn queries and keys?", rotary_blocks="first"),
    wrong("with a rotation in the first head only", "Do all heads turn queries and keys?", rotary_heads="first"),
]


@stage
def logits(subject: Subject) -> str:
    """With the same weights, the logits of the lesson's model, whatever names and layouts are."""
    model = subject.small_model()
    T, V = model.sizes.T, model.sizes.V
    subject.sizes_used = f"T = {T}, V = {V}, n_embd = {model.sizes.C}, heads = {model.sizes.H}"
    alone, batch = subject.tokens(6, 1, V), subject.tokens(B, T, V)
    got_alone, got = subject.logits(model, alone), subject.logits(model, batch)
    if _use_hook(subject, model, batch, got):
        return f"equal to the lesson's, by official_weights; scores divided by {subject.form.scale}"
    structure = subject.structure(model)
    all_hows = list(matching.arrangements(subject.task, structure, model.sizes))
    fitting = [
        how for how in all_hows if any(_agrees(subject, model, how, form, alone, got_alone) for form in _parts(subject))
    ]
    for how, form in itertools.product(fitting, right_forms(subject)):
        if _agrees(subject, model, how, form, batch, got):
            subject.arrangement, subject.form = how, _nearest(subject, model, how, form, batch, got)
            _zero_scores(subject, model, batch)
            return "equal to the lesson's" + (f"; scores divided by {form.scale}" if subject.task.attention else "")
    if fitting:
        raise _wrong_scores(subject, model, fitting, batch, got)
    raise _wrong_parts(subject, model, all_hows, alone, got_alone, batch, got)


def _agrees(
    subject: Subject, model: Model, how: Arrangement, form: Form, tokens: torch.Tensor, got: torch.Tensor
) -> bool:
    """Whether an arrangement and a form of the reference give these logits."""
    try:
        weights = matching.weights(subject.task, subject.structure(model), model.values, model.sizes, how)
        return close(got, reference.logits(subject.task, weights, tokens, form))
    except (Unreadable, KeyError, RuntimeError, IndexError):
        return False


def _nearest(subject: Subject, model: Model, how: Arrangement, form: Form, tokens, got: torch.Tensor) -> Form:
    """Of the activations that are right, and nearly alike, the one that fits best."""
    weights = matching.weights(subject.task, subject.structure(model), model.values, model.sizes, how)
    forms = [dataclasses.replace(form, activation=part.activation) for part in _parts(subject)]
    return min(forms, key=lambda each: (reference.logits(subject.task, weights, tokens, each) - got).abs().max())


def _use_hook(subject: Subject, model: Model, batch: torch.Tensor, got: torch.Tensor) -> bool:
    """Whether the learner's official_weights is there, and right. Raises Failure where it is wrong."""
    if subject.session.ask("official_weights", model=model.number) is None:
        return False
    subject.hook = True
    weights = subject.weights(model)
    for form in right_forms(subject):
        if close(got, reference.logits(subject.task, weights, batch, form)):
            subject.form = form
            return True
    raise Failure(
        what="the weights of official_weights give the lesson's logits",
        expected="equal logits",
        got=off(got, reference.logits(subject.task, weights, batch, next(right_forms(subject)))),
        question="Is the order of rows in qkv head by head: key, query, value? If so, what differs from the lesson?",
    )


def _zero_scores(subject: Subject, model: Model, batch: torch.Tensor) -> None:
    """Scores of exactly zero are scores like others."""
    if not subject.task.attention:
        return
    leaves = [value.clone().requires_grad_() for value in model.values]
    blocks = subject.weights(model, leaves)["blocks"]
    total = sum(block[name].sum() for block in blocks for name in ("q", "q_bias") if name in block)
    touched = torch.autograd.grad(total, leaves, allow_unused=True)
    before = model.values
    zeroed = [
        value if grad is None else torch.where(grad != 0, 0.0, value)
        for value, grad in zip(before, touched, strict=True)
    ]
    subject.set(model, zeroed)
    got = subject.logits(model, batch)
    expected = reference.logits(subject.task, subject.weights(model), batch, subject.form)
    subject.set(model, before)
    if not close(got, expected):
        shown = "not a number" if not got.isfinite().all() else off(got, expected)
        raise Failure(
            what="scores of exactly 0 are scores like others",
            expected="an even average of the past where all queries are 0",
            got=shown,
            question="Does the mask hide by position, or does it hide whatever is 0?",
        )


def _named(subject, model, hows, wrongs: list[Wrong], bases, tokens, got, budget: int) -> Wrong | None:
    """The first wrong form that gives these logits."""
    for how in hows:
        for each, base in itertools.product(wrongs, bases):
            budget -= 1
            if budget < 0:
                return None
            if _agrees(subject, model, how, dataclasses.replace(base, **each.changes), tokens, got):
                return each
    return None


def _failure(found: Wrong) -> Failure:
    return Failure(
        what="the same weights give the lesson's logits",
        expected="the lesson's model",
        got=f"the lesson's model {found.name}",
        question=found.question,
    )


def _wrong_scores(subject: Subject, model: Model, fitting: list[Arrangement], batch, got) -> Failure:
    """One token gives the right logits, more do not: the scores differ."""
    bases = list(right_forms(subject))
    wrongs = [*WRONG_SCORES, *(WRONG_ROTATIONS if subject.task.rotary else [])]
    named = _named(subject, model, fitting, wrongs, bases, batch, got, MOST_WRONG)
    if named:
        return _failure(named)
    expected = reference.logits(
        subject.task,
        matching.weights(subject.task, subject.structure(model), model.values, model.sizes, fitting[0]),
        batch,
        bases[0],
    )
    first = int(((got - expected).abs().amax(dim=(0, 2)) > TOLERANCE).nonzero()[0])
    return Failure(
        what="the same weights give the lesson's logits",
        expected="equal logits at all positions",
        got=f"equal for a text of one token; in a longer one {off(got, expected)}, first at position {first}",
        question="What goes into the scores that one token alone does not show: their scale, the softmax, "
        "what is added to them or turned, queries and keys of all heads?",
    )


def _wrong_parts(subject: Subject, model: Model, hows: list[Arrangement], alone, got_alone, batch, got) -> Failure:
    """Not even one token gives the right logits: a layer differs."""
    named = _named(subject, model, hows[:200], WRONG_PARTS, _parts(subject), alone, got_alone, MOST_WRONG)
    if named:
        return _failure(named)
    part, question = _differing_part(subject, model, hows, alone)
    return Failure(
        what="the same weights give the lesson's logits",
        expected="equal logits, under some reading of your parameters",
        got=f"others, already for a text of one token. The difference is in {part}",
        question=question,
    )


def _differing_part(subject: Subject, model: Model, hows: list[Arrangement], alone) -> tuple[str, str]:
    """The part of the model without which it agrees: attention, the feed-forward part, or neither."""
    structure = subject.structure(model)
    attention = [u for block in structure.blocks for u in block.attention]
    mlp = [u for block in structure.blocks for u in block.wide]
    before = model.values
    for units, part, question in (
        (attention, "attention", "Are values, heads and projection put together as in the lesson?"),
        (mlp, "the feed-forward part", "Which layers has the feed-forward part, in which order?"),
        ([*attention, *mlp], "how a block's parts are put together", "In which order come norm, branch and sum?"),
    ):
        indices = {index for unit in units for index in (unit.matrix, unit.vector)}
        subject.set(model, [value * 0 if i in indices else value for i, value in enumerate(before)])
        logits = subject.logits(model, alone)
        forms = _parts(subject)
        agrees = bool(units) and any(
            _agrees(subject, model, how, form, alone, logits) for how in hows[:200] for form in forms
        )
        subject.set(model, before)
        if agrees:
            return part, question
    return (
        "the embeddings, the last norm or the output layer",
        "What happens before the first block and after the last?",
    )


@stage
def sizes(subject: Subject) -> str:
    """The same at real sizes: long texts, many rows, small and large heads."""
    several = subject.task.n_head
    cases = [
        (Sizes(V=65, C=128, H=2 if several else 1, D=64, T=256, L=1), 2, (256, 100)),
        (Sizes(V=65, C=32, H=4 if several else 1, D=8, T=8, L=3), 64, (8,)),
        (Sizes(V=65, C=48, H=3 if several else 1, D=16 if several else 12, T=80, L=2), 3, (80, 79, 33)),
    ]
    for case, rows, lengths in cases:
        if not subject.task.blocks:
            case = dataclasses.replace(case, L=1)
        model = subject.fill(subject.build(case), salt=case.T)
        weights = subject.weights(model)
        for length in lengths:
            subject.sizes_used = f"B = {rows}, T = {length}, block_size = {case.T}, n_embd = {case.C}, heads = {case.H}"
            tokens = subject.tokens(rows, length, case.V, salt=length)
            got, expected = subject.logits(model, tokens), reference.logits(subject.task, weights, tokens, subject.form)
            if not close(got, expected, 5e-4):
                raise _wrong_at(got, expected, length)
    return "equal for T up to 256, up to 64 rows, heads of 8 to 64"


def _wrong_at(got: torch.Tensor, expected: torch.Tensor, length: int) -> Failure:
    wrong = (got - expected).abs().amax(dim=-1) > 5e-4 * expected.abs().max().clamp(min=1.0)  # (B, T)
    wrong |= ~got.isfinite().all(dim=-1)
    row, place = (int(n) for n in wrong.nonzero()[0])
    rows = wrong.any(dim=1)
    question = "Which number in the code is a size that was right for short texts only?"
    got_text = f"wrong from position {int(wrong.any(dim=0).nonzero()[0])} on"
    if place == 0:
        question = "Which size in the code is written as a number, or taken from the wrong axis?"
        got_text = f"wrong at position 0 of row {row}"
        if not rows.all() and int(rows.nonzero()[0]) > 0:
            got_text = f"rows 0 to {int(rows.nonzero()[0]) - 1} right, row {int(rows.nonzero()[0])} wrong"
            question = "What treats later rows of a batch otherwise than the first ones?"
    return Failure(
        what="the lesson's logits at real sizes, too",
        expected=f"equal logits for a text of {length}",
        got=f"{got_text}, {off(got, expected)}",
        question=question,
    )


@stage
def dropout(subject: Subject) -> str:
    """Dropout acts on the attention weights, after the projection, and after the MLP, and nowhere else.

    One token in many rows: each row is the reference with some numbers zeroed and the rest scaled by 1 / (1 - p), so
    the most frequent logits are those where nothing is zeroed. By what the parts are then scaled shows where dropout
    acts.
    """
    case = Sizes(V=11, C=8, H=2, D=4, T=2, L=1)  # few numbers, so that all are often kept
    model = subject.fill(subject.build(case, dropout=KEPT), salt=9)
    weights = subject.weights(model)
    places = [*NAMES_OF_PLACES]
    if not subject.task.attention:
        places = ["feed_forward", "inside", "embedding"]
    elif not subject.task.feed_forward:
        places = ["weights", "attention", "embedding"]
    one, two = (_most_frequent(subject, model, length) for length in (1, 2))
    for chosen in itertools.product((1 / (1 - KEPT), 1.0), repeat=len(places)):
        gains = dict(zip(places, chosen, strict=True))
        expected = reference.logits(subject.task, weights, torch.tensor([[2, 2]]), subject.form, gains)[0]
        if close(one, expected[0], 1e-4):
            found = _judge_dropout(subject.task, {place for place in places if gains[place] != 1.0})
            if not close(two, expected[1], 1e-4):
                raise Failure(
                    what="dropout acts where the lesson has it",
                    expected="on the attention weights, after the softmax",
                    got="something random, or scaled, in the scores",
                    question="Is dropout applied to the weights, after the softmax, or to the scores before it?",
                )
            return found
    raise Failure(
        what="dropout acts where the lesson has it",
        expected=_listed(_places(subject.task)),
        got="somewhere else, or at another rate than config.dropout",
        question="Which places has dropout, and which rate?",
    )


def _most_frequent(subject: Subject, model: Model, length: int) -> torch.Tensor:
    """The most frequent last logits (V) of many rows of the same tokens in training mode."""
    rows = subject.logits(model, torch.full((1500, length), 2), training=True)[:, -1]  # (B, V)
    _, row_of, counts = (rows * 1e3).round().unique(dim=0, return_inverse=True, return_counts=True)
    return rows[(row_of == counts.argmax()).nonzero()[0, 0]]


def _places(task: Task) -> list[str]:
    """Where dropout must act."""
    places = ["weights", "attention"] * task.attention + ["feed_forward"] * (task.feed_forward == "mlp")
    return places + ["embedding"] * task.embedding_dropout


NAMES_OF_PLACES = {
    "weights": "on the attention weights",
    "attention": "after the projection",
    "feed_forward": "after the MLP",
    "embedding": "on the embeddings",
    "inside": "inside the MLP",
}


def _listed(places: Iterable[str]) -> str:
    return ", ".join(NAMES_OF_PLACES[place] for place in NAMES_OF_PLACES if place in places)


def _judge_dropout(task: Task, found: set[str]) -> str:
    missing = [place for place in _places(task) if place not in found]
    if missing or "inside" in found:
        raise Failure(
            what="dropout acts where the lesson has it",
            expected=_listed(_places(task)),
            got=f"none {_listed(missing)}" if missing else "one inside the MLP",
            question="In which places does the paper's dropout, or the lesson's, act?",
        )
    more = " (as in the paper)" if "embedding" in found and not task.embedding_dropout else ""
    return f"{_listed(found)}{more}"


@stage
def generation(subject: Subject) -> str:
    """generate appends what the model predicts from the last block_size tokens, and leaves the model as it was."""
    small = subject.small_model()
    model = subject.fill(subject.build(small.sizes, dropout=0.9)) if subject.task.dropout else small
    T, V = small.sizes.T, small.sizes.V
    prompt = subject.tokens(B, T + 3, V)
    made = _generate(subject, model, prompt, 8, temperature=1e-4, training=True)
    for t in range(T + 3, T + 11):
        logits = subject.logits(model, made["text"][:, t - T : t])[:, -1]
        likeliest = logits.gather(1, made["text"][:, t : t + 1])[:, 0]
        if (logits.amax(dim=-1) - likeliest).max() > 1e-2:
            raise Failure(
                what="near temperature 0 each token is the likeliest",
                expected=logits.argmax(dim=-1).tolist(),
                got=made["text"][:, t].tolist(),
                question="Is dropout off while the model writes?"
                if subject.task.dropout and made["trained"]
                else "Is the temperature a divisor of the logits, and the context the last block_size tokens?",
            )
    if made["trained"] and subject.task.dropout:
        raise Failure(
            what="the model writes in evaluation mode",
            expected="model.training False while it writes",
            got="True",
            question="Is dropout off while the model writes?",
        )
    if made["gradients"]:
        raise Failure(
            what="writing keeps no gradients",
            expected="torch.no_grad() or inference_mode()",
            got="gradients are recorded for every token",
            question="What grows with every token, for a backward pass that never comes?",
        )
    for training in (True, False):
        left = _generate(subject, model, prompt, 2, temperature=1.0, training=training)["training"]
        if left != training:
            raise Failure(
                what="generate leaves the mode as it was",
                expected=f"model.training {training}, as before",
                got=left,
                question="What happens to a run that samples in between, or to an evaluation?",
            )
    _draws(subject, model)
    return "crops, keeps its prompt, draws by temperature, leaves mode and random numbers alone"


def _generate(
    subject: Subject, model: Model, prompt: torch.Tensor, count: int, temperature: float, training: bool, seed: int = 0
) -> dict:
    made = subject.session.ask(
        "generate",
        model=model.number,
        tokens=prompt,
        count=count,
        temperature=temperature,
        seed=seed,
        training=training,
    )
    text = made["text"]
    wanted = (len(prompt), prompt.shape[1] + count)
    if (
        not isinstance(text, torch.Tensor)
        or tuple(text.shape) != wanted
        or not torch.equal(text[:, : prompt.shape[1]], prompt)
    ):
        question = "What does generate return: all tokens, or the new ones?"
        if isinstance(text, torch.Tensor) and text.ndim == 2 and prompt.shape[1] < text.shape[1] < wanted[1]:
            question = "Does it stop before it has written all tokens?"
        raise Failure(
            what="generate appends to its prompt",
            expected=f"the prompt and {count} tokens, {wanted}",
            got=tuple(text.shape) if isinstance(text, torch.Tensor) else type(text).__name__,
            question=question,
        )
    return made


def _draws(subject: Subject, model: Model) -> None:
    """Tokens come as often as the softmax says, with the global generator, and token 0 is one like others."""
    V = model.sizes.V
    prompt = subject.tokens(1, 3, V)
    expected_logits = subject.logits(model, prompt)[0, -1]
    rows = prompt.expand(4000, -1)
    for temperature in (1.0, 2.0, 0.5):
        text = _generate(subject, model, rows, 1, temperature, training=False, seed=11)["text"]
        drawn = text[:, -1].bincount(minlength=V) / len(rows)
        expected = F.softmax(expected_logits / temperature, dim=-1)
        if (drawn - expected).abs().max() > 0.05:  # of 4,000 draws: six standard deviations
            question = "Is the temperature a divisor of the logits, before the softmax?"
            if drawn.max() == 1:
                question = "Are tokens drawn from the probabilities, or is the likeliest taken?"
            raise Failure(
                what=f"at temperature {temperature:g} tokens come as often as the softmax says",
                expected=f"the likeliest in {expected.max():.0%}",
                got=f"in {drawn[expected.argmax()]:.0%}",
                question=question,
            )
    made = [_generate(subject, model, rows[:50], 4, 1e3, training=False, seed=seed) for seed in (1, 2)]
    if torch.equal(made[0]["next"], made[1]["next"]) or torch.equal(made[0]["text"], made[1]["text"]):
        raise Failure(
            what="generate draws from PyTorch's global generator, and does not seed it",
            expected="other texts after other seeds",
            got="the same",
            question="Which line sets a seed, or makes a generator of its own?",
        )
    text = _generate(subject, model, torch.zeros(40, 1, dtype=torch.long), 12, 1e3, training=False, seed=3)["text"]
    if not (text[:, 1:] == 0).any():
        raise Failure(
            what="token 0 is a token like others",
            expected="among 480 tokens at a high temperature",
            got="never",
            question="What treats token 0 as an end, or leaves it out?",
        )


@stage
def gradients(subject: Subject) -> str:
    """Every parameter gets the gradient of the lesson's model."""
    model = subject.small_model()
    T, V = model.sizes.T, model.sizes.V
    tokens, targets = subject.tokens(4, T, V, salt=21), subject.tokens(4, T, V, salt=22)
    got = subject.session.ask("gradients", model=model.number, tokens=tokens, targets=targets)
    still = [
        name
        for name, gradient in zip(model.names, got["gradients"], strict=True)
        if gradient is None or not gradient.isfinite().all() or not gradient.abs().max() > 0
    ]
    harmless = [name for name in still if _is_key_bias(subject, model, name)]
    still = [name for name in still if name not in harmless]
    if still:
        raise Failure(
            what="every parameter gets a gradient",
            expected="all of them",
            got=f"none for {', '.join(still)}",
            question="Is each layer used in forward, and nothing detached?",
        )
    if subject.hook:
        return f"all {len(got['gradients'])} tensors learn"
    leaves = [value.clone().requires_grad_() for value in model.values]
    logits = reference.logits(subject.task, subject.weights(model, leaves), tokens, subject.form)
    F.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    largest = max(float(leaf.grad.abs().max()) for leaf in leaves if leaf.grad is not None)
    for name, leaf, gradient in zip(model.names, leaves, got["gradients"], strict=True):
        expected = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        if (0 if gradient is None else gradient - expected).abs().max() > 2e-3 * largest:  # type: ignore[union-attr]
            raise Failure(
                what="every parameter gets the gradient that the formula gives",
                expected="an equal gradient",
                got=f"{name} {off(gradient, expected)}",
                question="Is nothing detached, copied, rounded or computed under no_grad on the way?",
            )
    return f"all {len(got['gradients'])} tensors get their gradients"


def _is_key_bias(subject: Subject, model: Model, name: str) -> bool:
    """Whether a parameter is a bias of keys alone, which a softmax does not notice."""
    if subject.hook:
        return False
    index = model.names.index(name)
    leaves = [value.clone().requires_grad_() for value in model.values]
    blocks = subject.weights(model, leaves)["blocks"]
    bias = "q_bias" if subject.form.swapped else "k_bias"
    total = sum(block[bias].sum() for block in blocks if bias in block)
    if not isinstance(total, torch.Tensor):
        return False
    (touched,) = torch.autograd.grad(total, [leaves[index]], allow_unused=True)
    return touched is not None and bool((touched != 0).all())


@stage
def training(subject: Subject) -> str:
    """From your initial weights a short run of the documented recipe learns as it should.

    The run is the reference's, whose logits and gradients are yours; docs/logs/check_bands.txt has the limits.
    """
    task = subject.task
    model = subject.build(training_sizes(task))
    values, weights = subject.weights_of(model)
    first, last = short_run(task, values, weights, subject.form, subject.seed)
    bands = json.loads(BANDS.read_text(encoding="utf-8"))[subject.name]
    if not math.isfinite(first) or not bands["first"][0] <= first <= bands["first"][1]:
        raise Failure(
            what="an untrained model guesses",
            expected=f"a loss from {bands['first'][0]:.2f} to {bands['first'][1]:.2f}; ln 65 is {math.log(65):.2f}",
            got=f"{first:.2f}",
            question="Which initial weights make the first logits so large?",
        )
    if not math.isfinite(last) or last > bands["last"][1]:
        raise Failure(
            what=f"{TRAINING_STEPS} steps learn something",
            expected=f"a validation loss of at most {bands['last'][1]:.2f}",
            got=f"{last:.2f}",
            question="Which initial weights are so small, so large or so equal that nothing can be learned from them?",
        )
    return f"{first:.2f} before, {last:.2f} after {TRAINING_STEPS} steps"


def training_sizes(task: Task) -> Sizes:
    """The documented sizes of tasks 1 to 6; but for a smaller head in task 1, so that no matrix is square."""
    return Sizes(V=65, C=32, H=4 if task.n_head else 1, D=8 if task.n_head else 16, T=8, L=3 if task.blocks else 1)


def short_run(
    task: Task, values: list[torch.Tensor], weights: Callable[[list[torch.Tensor]], Weights], form: Form, seed: int
) -> tuple[float, float]:
    """Validation loss before and after TRAINING_STEPS steps of the reference from these values, nats per character."""
    torch.manual_seed(seed)
    corpus = Corpus(DEFAULT_TEXT, training_sizes(task).T)
    leaves = [value.clone().requires_grad_() for value in values]
    step = adamw(leaves, lr=1e-3)

    def loss(split: str, rows: int) -> torch.Tensor:
        tokens, targets = corpus.batch(split, rows)
        logits = reference.logits(task, weights(leaves), tokens, form)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    with torch.no_grad():
        first = loss("val", 1000).item()
    for _ in range(TRAINING_STEPS):
        step(torch.autograd.grad(loss("train", 32), leaves, allow_unused=True))
    with torch.no_grad():
        return first, loss("val", 1000).item()


def adamw(
    leaves: list[torch.Tensor], lr: float, decay: float = 0.01
) -> Callable[[Sequence[torch.Tensor | None]], None]:
    """A function that takes AdamW's next step (https://arxiv.org/abs/1711.05101) with gradients.

    torch.optim would import PyTorch's compiler first, which takes longer than the whole run.
    """
    means, squares = ([torch.zeros_like(leaf) for leaf in leaves] for _ in range(2))
    steps = itertools.count(1)

    @torch.no_grad()
    def step(gradients: Sequence[torch.Tensor | None]) -> None:
        n = next(steps)
        for leaf, mean, square, gradient in zip(leaves, means, squares, gradients, strict=True):
            if gradient is None:
                continue
            leaf.mul_(1 - lr * decay)
            mean.lerp_(gradient, 0.1)
            square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
            leaf.addcdiv_(mean, (square / (1 - 0.999**n)).sqrt_().add_(1e-8), value=-lr / (1 - 0.9**n))

    return step
