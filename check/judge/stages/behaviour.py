"""What a model does, whatever its parameters are: shapes, steadiness, causality, positions."""

import dataclasses
import itertools
import re
from collections import Counter

from check.judge.learner_file import B, LearnerFile, Model, close, off
from check.judge.result import Failure
from check.judge.stages.logits import known_bug
from check.judge.stages.reads import MODE, READ, leak, reads, what_it_sees, where_not_finite
from check.judge.stages.seen import side_by_side
from check.judge.stages.wrongs import SEES_AHEAD

import torch

# With these, scores of one block are some 100,000: a mask of -1e9 is enough then, one of -1e4 is not.
LOUD, LOUD_NORMED = 16.0, 200.0
LAST = "Does forward return the logits of all positions, with and without targets? generate picks the last by itself."
ROWS = "Which axis is for rows, and which for positions? Does a layer expect positions first (batch_first)?"


def shapes(learner: LearnerFile) -> str:
    """Tokens (B, T) → logits (B, T, V), for T from one to block_size."""
    model = learner.small_model()
    longest = model.sizes.T
    for rows, length in itertools.product((1, B), (1, 3, longest)):
        learner.sizes_used = f"B = {rows}, T = {length}, block_size = {longest}, V = {model.sizes.V}"
        tokens = learner.tokens(rows, length, model.sizes.V)
        got = tuple(learner.process.ask("logits", model=model.number, tokens=tokens)["logits"].shape)
        if got != (rows, length, model.sizes.V):
            hint = "Which line of forward changes an axis that it should keep?"
            if got == (rows, model.sizes.V):
                hint = LAST
            elif got[:1] != (rows,) or len(got) != 3:
                hint = "Does forward return logits for every position, (B, T, V)?"
            elif got[1] == 1 < length:
                hint = LAST
            elif got[2] != model.sizes.V:
                hint = "Is the output layer the last thing that forward calls, C → V?"
            elif got[1] != length:
                hint = f"Where does the model use block_size ({longest}) instead of the length of its input?"
            raise Failure(
                what=f"logits of {rows} × {length} tokens", expected=(rows, length, model.sizes.V), got=got, hint=hint
            )
    if learner.task.blocks:
        _follows_n_layer(learner, model)
    return f"(B, T, V) for T = 1, 3, {longest}"


def _follows_n_layer(learner: LearnerFile, model: Model) -> None:
    """There are n_layer blocks. That one block is used n_layer times is for later stages to say."""
    got, L = "", model.sizes.L
    for layers in range(L - 1, 0, -1):
        other = learner.build(dataclasses.replace(model.sizes, L=layers))
        try:
            learner.logits(other, learner.tokens(1, 3, model.sizes.V))
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
            hint="Which line has a fixed number of blocks, where n_layer belongs?",
        )


def steadiness(learner: LearnerFile) -> str:
    """Finite numbers, the same each time in evaluation mode; rows do not influence each other."""
    small = learner.small_model()
    lists = learner.process.ask("unregistered", model=small.number)
    if lists:
        raise Failure(
            what="every layer is part of the model",
            expected="lists of layers in nn.ModuleList or nn.Sequential",
            got=f"{', '.join(lists)}: Python's own list, into which PyTorch does not look",
            hint="What do parameters(), eval() and to() reach, and what does the optimizer learn?",
        )
    model = learner.fill(learner.build(small.sizes, dropout=0.5)) if learner.task.dropout else small
    batch = learner.tokens(9, small.sizes.T, small.sizes.V)
    try:
        logits = learner.logits(model, batch)
    except Failure as failure:
        learner.logits(model, batch[: small.sizes.T])
        failure.got += f": {small.sizes.T} rows run, {len(batch)}, more than there are positions, do not"
        failure.hint = ROWS
        raise
    _finite(learner, logits, "evaluation")
    if not torch.equal(logits, learner.logits(model, batch)):
        raise Failure(
            what="evaluation mode is deterministic",
            expected="the same logits twice",
            got="different ones",
            hint="Does dropout know whether the model is training (self.training)?",
        )
    trained = learner.logits(small, batch, training=True)
    if not close(trained, learner.logits(small, batch)):
        raise _other_in_training(learner, small, batch, trained)
    for row in range(len(batch)):
        alone = learner.logits(model, batch[row : row + 1])[0]
        if not close(alone, logits[row]):
            raise Failure(
                what="a row does not depend on the rest of the batch",
                expected=f"row {row} as without the other rows",
                got=off(alone, logits[row]) + ": it depends on the rows before it" * (row > 0),
                hint=ROWS if row else "Which operation mixes along the first axis?",
            )
    if learner.task.dropout and learner.takes("dropout"):
        drawn = [learner.logits(model, batch, training=True) for _ in range(4)]
        for each in drawn:
            _finite(learner, each, "training")
        if not learner.task.heads_alone and all(torch.equal(each, drawn[0]) for each in drawn):
            raise Failure(
                what="dropout acts in training",
                expected="different logits each time at dropout 0.5",
                got="the same",
                hint="Where does your model use its dropout?",
            )
    return "finite, deterministic, rows independent"


def _other_in_training(learner: LearnerFile, model: Model, batch: torch.Tensor, trained: torch.Tensor) -> Failure:
    """Why logits are others in training mode: a mask in one mode, dropout at a rate of its own, or something else."""
    said, hint = off(trained, learner.logits(model, batch)), "What does the code do only if self.training?"
    ahead = {mode: leak(learner, model, model.sizes.T, mode == "training") for mode in ("training", "evaluation")}
    if not torch.equal(trained, learner.logits(model, batch, training=True)):
        said += ", and others each time in training mode: something is dropped"
        hint = "Which dropout has another rate: a default, or a number in the code?"
    elif len([mode for mode in ahead if ahead[mode]]) == 1:
        seeing, blind = sorted(ahead, key=lambda mode: not ahead[mode])
        said += f": later tokens are seen in {seeing} mode, and hidden in {blind} mode"
        hint = MODE
    return Failure(
        what="without dropout, training and evaluation compute the same",
        expected="equal logits in both modes" + " at dropout 0" * learner.task.dropout,
        got=said,
        hint=hint,
    )


def _finite(learner: LearnerFile, logits: torch.Tensor, mode: str) -> None:
    wrong = int((~logits.isfinite()).sum())
    if wrong:
        said = f"{wrong} of {logits.numel()} infinite or not a number"
        hint = "What is the result if dropout multiplies a masked score, -inf, by zero?"
        if mode == "evaluation":
            block = learner.variant(L=1)
            where, hint = where_not_finite(learner.logits(block, learner.tokens(B, block.sizes.T, block.sizes.V)))
            said += f", {where}" * bool(where)
        raise Failure(what=f"logits are finite in {mode} mode", expected="numbers", got=said, hint=hint)


def causality(learner: LearnerFile) -> str:
    """Later tokens change nothing, also where scores are large; earlier ones do."""
    small = learner.small_model()
    T = small.sizes.T
    loud = learner.variant(LOUD_NORMED if learner.task.norms and not learner.is_free else LOUD, L=1)
    for model, length in ((small, T), (small, 4), (loud, T)):
        found = leak(learner, model, length)
        if found:
            raise _sees_ahead(learner, model, found, loud=model is loud)
    blind = _blind(learner, small)
    if blind:
        bug = None if learner.is_free else known_bug(learner)
        if bug and not SEES_AHEAD & {*bug.changes}:
            return f"position {blind[0]} does not see position {blind[1]}: the stage logits names the reason"
        hint = "Which columns may query t look at: all up to t?"
        example = _what_is_read(learner, small)
        if example == side_by_side(READ, torch.ones(3, 3).tril(), torch.eye(3)):
            hint = "Which axes does the product of queries and keys join: are positions the last but one of both?"
        elif learner.task.n_head and not _blind(learner, _with_one_head(learner)):
            hint = HEADS
        raise Failure(
            what="logits depend on all earlier tokens",
            expected=f"position {blind[0]} sees position {blind[1]}",
            got="its logits stay the same" + (f": {bug.got}" if bug else ""),
            hint=bug.hint if bug else hint,
            example=bug.example if bug else example,
        )
    return f"no position sees ahead, and each sees the whole past (T = {T})"


def _sees_ahead(learner: LearnerFile, model: Model, found: tuple[int, int, float], loud: bool) -> Failure:
    first, later, change = found
    bug = None if loud or learner.is_free else known_bug(learner)
    bug = bug if bug and SEES_AHEAD & {*bug.changes} else None
    learner.charged += [bug.changes] if bug else []
    if loud:
        said, hint = "", "Do masked scores become -inf before the softmax, or just small?"
    elif bug:
        said, hint = bug.got, bug.hint
    elif learner.task.n_head and not leak(learner, _with_one_head(learner), model.sizes.T):
        said, hint = "", HEADS
    else:
        said, hint = what_it_sees(learner)
    return Failure(
        what="logits do not depend on later tokens",
        expected=f"position {first} does not see position {later} and later ones",
        got=f"its logits change by {change:.2g}" + f": {said}" * bool(said),
        hint=hint,
        example="" if loud else bug.example if bug else _what_is_read(learner, model),
    )


HEADS = "One head alone is right: in which order are the axes when heads are split and merged (view, then transpose)?"


def _with_one_head(learner: LearnerFile) -> Model:
    return learner.variant(H=1, D=learner.small_sizes.C, K=0)


def _blind(learner: LearnerFile, model: Model) -> list[int] | None:
    """A position, and an earlier one that changes nothing there."""
    unread = (~reads(learner, model, model.sizes.T)).tril(-1).nonzero().tolist()
    return unread[0] if unread else None


def _what_is_read(learner: LearnerFile, model: Model) -> str:
    """Which positions read which, of three tokens, as an example."""
    return side_by_side(READ, torch.ones(3, 3).tril(), reads(learner, model, 3))


def position(learner: LearnerFile) -> str:
    """The model knows the order of earlier tokens."""
    model = learner.small_model()
    if learner.is_free:  # the mask of a second layer shows the order by itself
        single = learner.variant(L=1)
        model = single if reads(learner, single, model.sizes.T)[-1, 0] else model
    T = model.sizes.T
    batch = learner.tokens(1, T, model.sizes.V)
    batch[0, 0], batch[0, 1] = 3, 4
    swapped = batch.clone()
    swapped[0, 0], swapped[0, 1] = 4, 3
    slopes = learner.gradients(model, batch, swapped)
    unused = [name for name, slope in zip(model.names, slopes, strict=True) if slope is None]
    same = close(learner.logits(model, batch)[:, -1], learner.logits(model, swapped)[:, -1], 1e-5)
    if same:
        raise Failure(
            what="the model knows the order of the past",
            expected="other logits when two earlier tokens change places",
            got="the same" + (f": {' and '.join(unused)} changes nothing" if unused else ""),
            hint="How does the model know where a token is: does each position have its own row, or its own angle?",
        )
    if learner.task.rotary or learner.is_free:
        return "the model knows the order of the past"
    logits = learner.logits(model, torch.full((1, T), 3))[0]
    if close(logits[0], logits[1], 1e-5):
        raise Failure(
            what="equal tokens at different positions give different logits",
            expected="other logits at each position",
            got="the same",
            hint="Is the position table looked up with the position, or with the token?",
        )
    return "the model knows the order of the past"
