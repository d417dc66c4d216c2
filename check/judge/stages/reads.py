"""Which positions read which, by how much, and what that says of a mask, a softmax and their axes."""

from check.judge.learner_file import B, LearnerFile, Model, close
from check.judge.stages.wrongs import AXIS, MINUS_INFINITY, OPEN
from common.exercises import CLASSES

import torch

READ = "1 where a position (row) depends on another (column)"
NO_MASK = "Do the scores of later positions become -inf before the softmax: does every layer get the mask, or its flag?"
DIAGONAL = "At which diagonal does the mask begin?"
FLAG = "Is causal passed on, from the model to each layer?"
VALUE = "Which value of causal hides later positions?"
MODE = "Which line makes the mask depend on self.training, or on the call?"
TEXTS = 16


def leak(learner: LearnerFile, model: Model, length: int, training: bool = False) -> tuple[int, int, float] | None:
    """A position whose logits change with later tokens, the first of these, and by how much they change."""
    V = model.sizes.V
    batch = learner.tokens(B, length, V)
    before = learner.logits(model, batch, training)
    for t in range(1, length):
        changed = batch.clone()
        changed[:, t:] = (changed[:, t:] + 1 + learner.tokens(B, length - t, V, salt=t) % (V - 1)) % V
        change = (learner.logits(model, changed, training)[:, :t] - before[:, :t]).abs().amax(dim=(0, 2))
        if change.max() > 1e-4 * before.abs().max():
            return int(change.argmax()), t, float(change.max())
    return None


def reads(learner: LearnerFile, model: Model, length: int) -> torch.Tensor:
    """Which positions (rows) depend on which (columns), in a text of this length."""
    batch = learner.tokens(1, length, model.sizes.V)
    changed = batch.repeat(length, 1)
    changed[range(length), range(length)] = (batch[0] + 1) % model.sizes.V
    before = learner.logits(model, batch)[0]  # (T, V)
    change = (learner.logits(model, changed) - before).abs().amax(dim=-1)  # (changed position, position)
    return (change > 1e-6 * before.abs().amax(dim=-1).clamp(min=1.0)).T


def influence(learner: LearnerFile, model: Model, length: int) -> torch.Tensor:
    """By how much the logits of each position (row) change with the token at another (column), on average."""
    batch = learner.tokens(TEXTS, length, model.sizes.V)
    before = learner.logits(model, batch)
    columns = []
    for place in range(length):
        changed = batch.clone()
        changed[:, place] = (changed[:, place] + 1) % model.sizes.V
        columns.append((learner.logits(model, changed) - before).abs().mean(dim=(0, 2)) / before.abs().max())
    return torch.stack(columns, dim=-1)


def what_it_sees(learner: LearnerFile) -> tuple[str, str]:
    """What one block sees of later positions, and the hint that leads to why: of any attention."""
    if learner.name in CLASSES and learner.takes("causal") and (said := _flag(learner)):
        return said
    model = learner.variant(L=1)
    length = model.sizes.T
    if not leak(learner, model, length):
        return "a single block hides later positions, several do not", "Which of the blocks get the mask, or its flag?"
    seen = (influence(learner, model, length) > 1e-6).float() + torch.eye(length) > 0
    if torch.equal(seen, torch.ones_like(seen).triu()):
        return "the past is hidden, and the future is visible", f"Which triangle is hidden? {OPEN}"
    for ahead in range(1, length - 1):
        if torch.equal(seen, torch.ones_like(seen).tril(ahead)):
            return f"position t sees all up to t + {ahead}", DIAGONAL
    tokens = torch.arange(model.sizes.V)[:, None]  # texts of one token
    slopes = [*zip(model.first_values, learner.gradients(model, tokens, tokens.flip(0)), strict=True)]
    gains = [slope for first, slope in slopes if bool((first == 1).all()) and first.numel() == model.sizes.C]
    if gains and all(slope is not None and bool((slope.abs() < 1e-9).all()) for slope in gains):
        return "norms average over the positions, with later ones", "Over which axis does each norm average?"
    # All scores are 0: what has no part in texts of one token, queries and keys, is 0.
    tables = {model.sizes.V, model.sizes.T}
    values = [
        value if slope is None or tables & {*value.shape} else torch.where(slope.abs() > 1e-9, value, 0.0)
        for value, (_, slope) in zip(model.values, slopes, strict=True)
    ]
    with learner.with_values(model, values):
        if not leak(learner, model, length):
            return _by_weights(influence(learner, model, length))
        said = _by_values(influence(learner, model, length), influence(learner, model, 2))
    return said or ("every position sees every other, as without a mask", NO_MASK)


def _flag(learner: LearnerFile) -> tuple[str, str] | None:
    """What a flag `causal` does, where it does not do what it says."""
    sizes = learner.small_sizes
    models = [learner.fill(learner.build(sizes, causal=causal)) for causal in (True, False)]
    tokens = learner.tokens(B, sizes.T, sizes.V)
    causal, free = (learner.logits(model, tokens) for model in models)
    if close(causal, free):
        return "the same logits with causal=True as with causal=False", FLAG
    if not leak(learner, models[1], sizes.T):
        return "causal=False hides later positions, causal=True does not", VALUE
    return None


def _by_weights(influence: torch.Tensor) -> tuple[str, str]:
    """Values of later positions are hidden, and change weights all the same: how much the last position reads of each.

    A softmax over the queries leaves the first column to all of them, and the last to one.
    """
    if influence[-1, 0] < 0.6 * influence[-1, -2]:
        return "the weights of earlier positions depend on later ones: a softmax over the queries", AXIS
    return "the weights depend on later positions, whose values are hidden: weights set to 0 too late", MINUS_INFINITY


def _by_values(influence: torch.Tensor, of_two: torch.Tensor) -> tuple[str, str] | None:
    """How much is read of later positions, next to earlier ones, where all scores are 0."""
    if influence[-1, 0] > 0.6 * of_two[-1, 0]:  # else the more there are, the less is read of each
        return "the weights of a query do not sum to 1: a softmax over another axis, the heads", AXIS
    inner = influence[1:-1]
    later, earlier = inner.triu(2).sum(), inner.tril().sum()
    ratio = float(later / earlier * inner.tril().count_nonzero() / inner.triu(2).count_nonzero().clamp(min=1))
    if ratio > 0.6:
        return None
    return (
        f"later positions are read {ratio:.2g} times as much as earlier ones: their scores are not -inf",
        MINUS_INFINITY,
    )


def where_not_finite(output: torch.Tensor) -> tuple[str, str]:
    """At which positions of (…, T, C) there are no numbers, and the hint that leads to why."""
    T = output.shape[-2]
    lost = (~output.isfinite()).flatten(0, -3).any(dim=-1).any(dim=0).nonzero()[:, 0].tolist()
    if lost == [0] and T > 1:
        return "only at position 0, which may look at nothing, not even at itself", DIAGONAL
    if lost == [T - 1]:
        return "at the last position alone, from which all are hidden: the past is, and it itself", (
            f"Which triangle is hidden? {DIAGONAL}"
        )
    if lost == [*range(T - 1)]:
        return "at all positions from which one is hidden, not at the last", (
            "Along which axis is the softmax: of the keys, or of heads or rows, where all can be hidden?"
        )
    return "", "Can all that a softmax reads be masked, a number overflow, or something be divided by 0?"
