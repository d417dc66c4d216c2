"""What a model does, whatever its parameters are: shapes, steadiness, causality, positions."""

import dataclasses
import itertools
import re
from collections import Counter

from check.result import Failure
from check.stages.logits import known_bug
from check.stages.naming import side_by_side
from check.stages.reads import MODE, READ, leak, what_it_sees, where_not_finite
from check.stages.wrongs import SEES_AHEAD
from check.subject import B, Model, Subject, close, off

import torch

# With these, scores of one block are some 100,000: a mask of -1e9 is enough then, one of -1e4 is not.
LOUD, LOUD_NORMED = 16.0, 200.0
LAST = "Does forward return the logits of all positions, with and without targets? generate picks the last by itself."


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
            if got == (rows, model.sizes.V):
                question = LAST
            elif got[:1] != (rows,) or len(got) != 3:
                question = "Does forward return logits for every position, (B, T, V)?"
            elif got[1] == 1 < length:
                question = LAST
            elif got[2] != model.sizes.V:
                question = "Is the output layer the last thing that forward calls, C → V?"
            elif got[1] != length:
                question = f"Where does the model use block_size ({longest}) instead of the length of its input?"
            raise Failure(
                what=f"logits of {rows} × {length} tokens",
                expected=(rows, length, model.sizes.V),
                got=got,
                question=question,
            )
    if subject.task.blocks:
        _follows_n_layer(subject, model)
    return f"(B, T, V) for T = 1, 3, {longest}"


def _follows_n_layer(subject: Subject, model: Model) -> None:
    """There are n_layer blocks. That one block is used n_layer times is for later stages to say."""
    got, L = "", model.sizes.L
    for layers in range(L - 1, 0, -1):
        other = subject.build(dataclasses.replace(model.sizes, L=layers))
        try:
            subject.logits(other, subject.tokens(1, 3, model.sizes.V))
        except Failure as failure:
            got = f"it runs with n_layer = {layers + 1}, not with {layers}: {failure.got}"
            break
    alike = Counter(re.sub(r"\d+", "#", name) for name in other.names)
    if not got and other.count() == model.count() and max(alike.values()) % L == 0:
        got = f"{L} with n_layer = 1, too"
    if got:
        raise Failure(
            what="the model has n_layer blocks",
            expected="as many as n_layer says",
            got=got,
            question="Which line has a fixed number of blocks, where n_layer belongs?",
        )


def steadiness(subject: Subject) -> str:
    """Finite numbers, the same each time in evaluation mode; rows do not influence each other."""
    small = subject.small_model()
    lists = subject.session.ask("unregistered", model=small.number)
    if lists:
        raise Failure(
            what="every layer is part of the model",
            expected="lists of layers in nn.ModuleList or nn.Sequential",
            got=f"{', '.join(lists)}: Python's own list, into which PyTorch does not look",
            question="What do parameters(), eval() and to() reach, and what does the optimizer learn?",
        )
    model = subject.fill(subject.build(small.sizes, dropout=0.5)) if subject.task.dropout else small
    batch = subject.tokens(9, small.sizes.T, small.sizes.V)
    logits = _of_many_rows(subject, model, batch)
    _finite(subject, logits, "evaluation")
    if not torch.equal(logits, subject.logits(model, batch)):
        raise Failure(
            what="evaluation mode is deterministic",
            expected="the same logits twice",
            got="different ones",
            question="Does dropout know whether the model is training (self.training)?",
        )
    trained = subject.logits(small, batch, training=True)
    if not close(trained, subject.logits(small, batch)):
        raise _other_in_training(subject, small, batch, trained)
    for row in range(len(batch)):
        alone = subject.logits(model, batch[row : row + 1])[0]
        if not close(alone, logits[row]):
            raise Failure(
                what="a row does not depend on the rest of the batch",
                expected=f"row {row} as without the other rows",
                got=off(alone, logits[row]) + ": it depends on the rows before it" * (row > 0),
                question=ROWS if row else "Which operation mixes along the first axis?",
            )
    if subject.task.dropout and subject.takes("dropout"):
        drawn = [subject.logits(model, batch, training=True) for _ in range(4)]
        for each in drawn:
            _finite(subject, each, "training")
        if not subject.task.heads_alone and all(torch.equal(each, drawn[0]) for each in drawn):
            raise Failure(
                what="dropout acts in training",
                expected="different logits each time at dropout 0.5",
                got="the same",
                question="Where does your model use its dropout?",
            )
    return "finite, deterministic, rows independent"


ROWS = "Which axis is for rows, and which for positions? Does a layer expect positions first (batch_first)?"


def _of_many_rows(subject: Subject, model: Model, batch: torch.Tensor) -> torch.Tensor:
    """The logits of more rows than a text has positions."""
    try:
        return subject.logits(model, batch)
    except Failure as failure:
        subject.logits(model, batch[: model.sizes.T])
        failure.got += f": {model.sizes.T} rows run, {len(batch)}, more than there are positions, do not"
        failure.question = ROWS
        raise


def _other_in_training(subject: Subject, model: Model, batch: torch.Tensor, trained: torch.Tensor) -> Failure:
    """Why logits are others in training mode: a mask in one mode, dropout at a rate of its own, or something else."""
    said, question = off(trained, subject.logits(model, batch)), "What does the code do only if self.training?"
    ahead = {mode: leak(subject, model, model.sizes.T, mode == "training") for mode in ("training", "evaluation")}
    if not torch.equal(trained, subject.logits(model, batch, training=True)):
        said += ", and others each time in training mode: something is dropped"
        question = "Which dropout has another rate: a default, or a number in the code?"
    elif len([mode for mode in ahead if ahead[mode]]) == 1:
        seeing, blind = sorted(ahead, key=lambda mode: not ahead[mode])
        said += f": later tokens are seen in {seeing} mode, and hidden in {blind} mode"
        question = MODE
    return Failure(
        what="without dropout, training and evaluation compute the same",
        expected="equal logits in both modes" + " at dropout 0" * subject.task.dropout,
        got=said,
        question=question,
    )


def _finite(subject: Subject, logits: torch.Tensor, mode: str) -> None:
    wrong = int((~logits.isfinite()).sum())
    if wrong:
        said = f"{wrong} of {logits.numel()} infinite or not a number"
        question = "What is the result if dropout multiplies a masked score, -inf, by zero?"
        if mode == "evaluation":
            block = subject.fill(subject.build(dataclasses.replace(subject.small_sizes, L=1)))
            where, question = where_not_finite(subject.logits(block, subject.tokens(B, block.sizes.T, block.sizes.V)))
            said += f", {where}" * bool(where)
        raise Failure(what=f"logits are finite in {mode} mode", expected="numbers", got=said, question=question)


def causality(subject: Subject) -> str:
    """Later tokens change nothing, also where scores are large; earlier ones do."""
    small = subject.small_model()
    T = small.sizes.T
    single = subject.build(dataclasses.replace(small.sizes, L=1))
    loud = subject.fill(single, loud=LOUD_NORMED if subject.task.norms and not subject.is_free else LOUD)
    for model, length in ((small, T), (small, 4), (loud, T)):
        found = leak(subject, model, length)
        if found:
            raise _sees_ahead(subject, model, found, loud=model is loud)
    blind = _blind(subject, small)
    if blind:
        bug = None if subject.is_free else known_bug(subject)
        if bug and not SEES_AHEAD & {*bug.changes}:
            return f"position {blind[0]} does not see position {blind[1]}: the stage logits names the reason"
        question = "Which columns may query t look at: all up to t?"
        example = _what_is_read(subject, small)
        if example == side_by_side(READ, torch.ones(3, 3).tril(), torch.eye(3)):
            question = "Which axes does the product of queries and keys join: are positions the last but one of both?"
        elif subject.task.n_head and not _blind(subject, _with_one_head(subject)):
            question = HEADS
        raise Failure(
            what="logits depend on all earlier tokens",
            expected=f"position {blind[0]} sees position {blind[1]}",
            got="its logits stay the same" + (f": {bug.got}" if bug else ""),
            question=bug.question if bug else question,
            example=bug.example if bug else example,
        )
    return f"no position sees ahead, and each sees the whole past (T = {T})"


def _sees_ahead(subject: Subject, model: Model, found: tuple[int, int, float], loud: bool) -> Failure:
    first, later, change = found
    bug = None if loud or subject.is_free else known_bug(subject)
    bug = bug if bug and SEES_AHEAD & {*bug.changes} else None
    subject.charged += [bug.changes] if bug else []
    if loud:
        said, question = "", "Do masked scores become -inf before the softmax, or just small?"
    elif bug:
        said, question = bug.got, bug.question
    elif subject.task.n_head and not leak(subject, _with_one_head(subject), model.sizes.T):
        said, question = "", HEADS
    else:
        said, question = what_it_sees(subject)
    return Failure(
        what="logits do not depend on later tokens",
        expected=f"position {first} does not see position {later} and later ones",
        got=f"its logits change by {change:.2g}" + f": {said}" * bool(said),
        question=question,
        example="" if loud else bug.example if bug else _what_is_read(subject, model),
    )


HEADS = "One head alone is right: in which order are the axes when heads are split and merged (view, then transpose)?"


def _with_one_head(subject: Subject) -> Model:
    sizes = dataclasses.replace(subject.small_sizes, H=1, D=subject.small_sizes.C)
    return subject.fill(subject.build(sizes))


def _blind(subject: Subject, model: Model) -> tuple[int, int] | None:
    """A position, and an earlier one that changes nothing there."""
    T, V = model.sizes.T, model.sizes.V
    batch = subject.tokens(1, T, V)
    pairs = [(t, past) for t in range(1, T) for past in range(t)]
    changed = batch.repeat(len(pairs), 1)
    for row, (_, past) in enumerate(pairs):
        changed[row, past] = (changed[row, past] + 1) % V
    before, after = subject.logits(model, batch)[0], subject.logits(model, changed)
    return next((pair for row, pair in enumerate(pairs) if close(after[row, pair[0]], before[pair[0]], 1e-6)), None)


def _what_is_read(subject: Subject, model: Model) -> str:
    """Which positions read which, of three tokens, as an example."""
    batch = subject.tokens(1, 3, model.sizes.V)
    before = subject.logits(model, batch)[0]
    changed = batch.repeat(3, 1)
    changed[range(3), range(3)] = (batch[0] + 1) % model.sizes.V
    change = (subject.logits(model, changed) - before).abs().amax(dim=-1)  # (changed position, position)
    read = (change > 1e-6 * before.abs().max()).T.float()
    return side_by_side(READ, torch.ones(3, 3).tril(), read)


def _reads_past(subject: Subject, model: Model) -> bool:
    """Whether the last logits depend on the first token."""
    tokens = torch.zeros(2, model.sizes.T, dtype=torch.long)
    tokens[1, 0] = 1
    logits = subject.logits(model, tokens)[:, -1]
    return not close(logits[0], logits[1], 1e-5)


def position(subject: Subject) -> str:
    """The model knows the order of earlier tokens."""
    model = subject.small_model()
    if subject.is_free:  # the mask of a second layer shows the order by itself
        single = subject.fill(subject.build(dataclasses.replace(model.sizes, L=1)))
        model = single if _reads_past(subject, single) else model
    T = model.sizes.T
    batch = subject.tokens(1, T, model.sizes.V)
    batch[0, 0], batch[0, 1] = 3, 4
    swapped = batch.clone()
    swapped[0, 0], swapped[0, 1] = 4, 3
    answer = subject.session.ask("gradients", model=model.number, tokens=batch, targets=swapped)
    unused = [name for name, slope in zip(model.names, answer["gradients"], strict=True) if slope is None]
    same = close(subject.logits(model, batch)[:, -1], subject.logits(model, swapped)[:, -1], 1e-5)
    if same:
        raise Failure(
            what="the model knows the order of the past",
            expected="other logits when two earlier tokens change places",
            got="the same" + (f": {' and '.join(unused)} changes nothing" if unused else ""),
            question="How does the model know where a token is: does each position have its own row, or its own angle?",
        )
    if subject.task.rotary or subject.is_free:
        return "the model knows the order of the past"
    logits = subject.logits(model, torch.full((1, T), 3))[0]
    if close(logits[0], logits[1], 1e-5):
        raise Failure(
            what="equal tokens at different positions give different logits",
            expected="other logits at each position",
            got="the same",
            question="Is the position table looked up with the position, or with the token?",
        )
    return "the model knows the order of the past"
