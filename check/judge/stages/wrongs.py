"""Correct forms, and wrong ones that learners write: their names, and the hint that leads to each."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

from check.judge import changes
from check.judge.learner_file import LearnerFile
from check.judge.reference import RIGHT_ACTIVATIONS, Form

NAMED_BEFORE: dict[str, list[dict[str, Any]]] = {  # stage that failed → what is charged there, and not again
    "causality": [{"mask": "none"}, {"softmax": "queries"}, {"softmax": "heads"}],
    "position": [{"positions": False}],
}


def right_forms(learner: LearnerFile) -> Iterator[Form]:
    """The forms that are right."""
    layouts = [("halves", 1)]
    if learner.task.rotary:
        layouts += [("neighbours", 1), ("halves", -1), ("neighbours", -1)]
    activations = RIGHT_ACTIVATIONS[learner.task.activation]
    for right, before, activation, (layout, direction), swapped, scale in itertools.product(
        changes.right(learner.task), _named_before(learner), activations, layouts, (False, True), learner.task.scales
    ):
        form = Form(scale=scale, layout=layout, direction=direction, swapped=swapped, activation=activation, **right)
        yield dataclasses.replace(form, **before)


def _named_before(learner: LearnerFile) -> list[dict[str, Any]]:
    return [{}, *learner.charged, *(each for stage in sorted(learner.failed) for each in NAMED_BEFORE.get(stage, ()))]


def right_parts(learner: LearnerFile) -> list[Form]:
    """The right forms that one token tells apart."""
    activations = RIGHT_ACTIVATIONS[learner.task.activation]
    parts = itertools.product(changes.right(learner.task), _named_before(learner), activations)
    return [Form(activation=activation, **right | before) for right, before, activation in parts]


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A form that learners write: what it is called, the hint that leads to it, and how it differs."""

    name: str
    hint: str
    changes: dict[str, Any]


def wrong(name: str, hint: str, **changes: Any) -> Wrong:
    return Wrong(name, hint, changes)


NORMS = "What does each norm read: the branch's input, or a sum?"
BETWEEN = "What comes between the feed-forward part's layers, or after them?"
NO_SKIPS = "Does this task have skips yet?"
ACTIVATION = "Which activation does this task have?"
EXPONENT = "What is the exponent of pair i: -2i/D or another?"
TURNED = "Which of q, k and v are turned?"
SPLIT = "How are heads split: view to (B, T, n_head, head_size), then transpose(1, 2)?"
MERGED = "How are heads merged: transpose(1, 2), then view to (B, T, n_head · head_size)?"
OPEN = "What does True, or 1, mean in the mask: may look, or hidden?"
MINUS_INFINITY = "What is a hidden score before the softmax: does its weight become 0, and do the others sum to 1?"
AXIS = "Along which axis is the softmax: do the weights of each query sum to 1?"
OWN_PART = "Which axes does the product with W_O sum over: is each head multiplied only by its own part of W_O?"
SIGN = "a wrong sign in the rotation (a cos - b sin, a sin + b cos)"
SIGNS = "Which of the rotation's four products is subtracted?"
BASE = "Which number is raised to a power: 10,000 or another?"
OTHER_ACTIVATIONS = ("relu", "gelu", "gelu (tanh)", "tanh", "sigmoid", "silu", "leaky relu", "elu", "relu²")

# Those that one token shows.
WRONG_PARTS = [
    wrong("without its activation", BETWEEN, activation="none"),
    *(wrong(f"with {name} as activation", ACTIVATION, activation=name) for name in OTHER_ACTIVATIONS),
    wrong(
        "with the activation after the MLP's last layer, too",
        "Which layer of the MLP is the last?",
        last_activation=True,
    ),
    wrong("without the skip around attention", "What is added to attention's output?", attention_skip=0.0),
    wrong("without the skip around the MLP", "What is added to the MLP's output?", feed_forward_skip=0.0),
    wrong("without skips", "What does a branch add to?", attention_skip=0.0, feed_forward_skip=0.0),
    wrong("with a skip around attention", NO_SKIPS, attention_skip=1.0),
    wrong("with a skip around the feed-forward part", NO_SKIPS, feed_forward_skip=1.0),
    wrong("with skips", NO_SKIPS, attention_skip=1.0, feed_forward_skip=1.0),
    wrong("with norms after the sums (post-LN)", NORMS, norm="post"),
    wrong("with norms after the sums (post-LN) and no last norm", NORMS, norm="post", final_norm=False),
    wrong("without the blocks' norms", "Which line uses the norms of a block?", norm="none"),
    wrong("without the last norm", "What is between the last block and the output layer?", final_norm=False),
    wrong("with skips that add the normalized stream", "Does a skip carry x, or the norm of x?", skips_of_norm="12"),
    wrong("with a skip around attention that adds the norm of x", "What does that skip carry?", skips_of_norm="1"),
    wrong("with a skip around the MLP that adds the norm of x", "What does that skip carry?", skips_of_norm="2"),
    wrong("with the feed-forward part before attention", "Which comes first?", feed_forward_first=True),
    wrong("with attention and MLP side by side", "Does the MLP read what attention has added?", parallel=True),
    wrong("without the projection", "What is done to the heads' outputs before they are added?", projection=False),
    wrong("with the sum of all heads in the place of each, before W_O", OWN_PART, heads="sum"),
    wrong("with the first head's part of W_O for all heads", OWN_PART, heads="first"),
    wrong("with keys in place of values", "What is averaged: keys or values?", same="v=k"),
    wrong("with queries in place of values", "What is averaged: queries or values?", same="v=q"),
    wrong("with the first head's weights in all heads", "Which numbers tell one head from another?", same_heads=True),
    wrong(
        "with the activation before the feed-forward part's first layer",
        BETWEEN,
        activation="none",
        activation_first=True,
    ),
    wrong("with x added twice around attention", "How often is x added?", attention_skip=2.0),
    wrong("with x added twice around the MLP", "How often is x added?", feed_forward_skip=2.0),
    wrong("with a skip around the whole block", "What is added to a block's output?", outer_skip=True),
    wrong(
        "with the block's input in the second sum", "What has changed between a block's two sums?", skip_of_start=True
    ),
    wrong("with norms of the branches' outputs", NORMS, norm="after"),
    wrong("with the first norm before both branches", "Which norm does each branch read?", same_norm=1),
    wrong("with the second norm before both branches", "Which norm does each branch read?", same_norm=2),
    wrong(
        "with a softmax on the logits", "What does the cross-entropy expect: logits or probabilities?", output="softmax"
    ),
    wrong(
        "with a log-softmax on the logits", "What does the cross-entropy expect: logits or more?", output="log_softmax"
    ),
    wrong("with its blocks in reverse", "In which order does the stream pass the blocks?", order="reversed"),
    wrong("with all attentions before all feed-forward parts", "What does one block consist of?", order="attentions"),
    wrong("with only its last block", "What does each block read, and where does its output go?", order="last"),
    wrong("with the past hidden, and the future visible", f"Which triangle is hidden? {OPEN}", mask="exchanged to 0"),
    wrong("without positions", "Where are positions added?", positions=False),
    wrong(
        "with positions counted from the table's end",
        "Which row of the position table does the first token get?",
        positions_end=True,
    ),
    wrong("with a norm only for the queries", "What do keys and values read: x, or its norm?", normed="q"),
    wrong("with norms over the positions", "Over which axis does a norm average?", norm_axis="positions"),
    wrong("with variances divided by n - 1", "Does the norm's variance divide by n, or by n - 1?", norm_correction=1),
    wrong("with token embeddings times √n_embd", "Is the token embedding scaled in this task?", token_scale="√C"),
    *(
        wrong(f"with {SIGN}, and values turned, too", f"{TURNED} {SIGNS}", signs=signs, rotated="qkv", layout=layout)
        for signs, layout in itertools.product([(-1, -1), (1, -1)], ("halves", "neighbours"))
    ),
]
# Those that need a past.
WRONG_SCORES = [
    wrong("without the scale of the scores", "What divides the scores before the softmax?", scale="1"),
    wrong("with scores divided by √n_embd, not √head_size", "How wide is what is multiplied in one head?", scale="√C"),
    wrong(
        "with scores divided by head_size, not its root",
        "Which power of head_size divides the scores, and is it done once?",
        scale="D",
    ),
    wrong(
        "with scores divided by n_embd, not by its root",
        "Which power divides the scores, and is it done once?",
        scale="C",
    ),
    wrong("with weights, not scores, divided", "What is divided: scores, or weights?", weights_scaled=True),
    wrong("with scores multiplied by √head_size", "Are scores divided or multiplied?", scale="1/√D"),
    wrong("with scores multiplied by √n_embd", "Are scores divided or multiplied?", scale="1/√C"),
    wrong("with keys in place of queries", "What is multiplied with the keys?", same="q=k"),
    wrong("with queries in place of keys", "What is multiplied with the queries?", same="k=q"),
    wrong("with keys in place of values", "What is averaged: keys or values?", same="k=v"),
    wrong("with queries in place of values", "What is averaged: queries or values?", same="q=v"),
    wrong(
        "with head_size heads of width n_head",
        "In which order are n_head and head_size in the view?",
        split="exchanged",
    ),
]
SEES_AHEAD = {  # of a form, can make it look ahead
    *("mask", "softmax", "transposed", "split", "merged", "norm_axis"),
    *("convolved", "window", "norm_kind", "qk_norm"),
}
# Those with which a position sees later ones.
WRONG_MASKS = [
    wrong("without a mask", "Where are the scores of later positions hidden?", mask="none"),
    wrong("with the past hidden, and the future visible", f"Which triangle is hidden? {OPEN}", mask="future"),
    wrong("with the past hidden, and the future visible", f"Which triangle is hidden? {OPEN}", mask="exchanged"),
    wrong("with the next position visible, too", "At which diagonal does the mask begin?", mask="ahead"),
    wrong("with each position hidden from itself", "At which diagonal does the mask begin?", mask="strict"),
    *(wrong(f"with hidden scores that are {n}, not -inf", MINUS_INFINITY, mask=n) for n in ("0", "-1", "-10")),
    wrong("with weights set to 0 after the softmax", MINUS_INFINITY, mask="after"),
    wrong("with the mask's ones added to the scores", "What must be added to a score that is hidden?", mask="added"),
    wrong("with a softmax over the queries", AXIS, softmax="queries"),
    wrong("with transposed weights", "Over which of the weights' axes are values summed: the keys'?", transposed=True),
    wrong("with heads split only by a view", SPLIT, split="view"),
    wrong("with heads split and merged only by a view", SPLIT, split="view", merged="view"),
    wrong("with values split into heads only by a view", SPLIT, split="view", split_of="v"),
    wrong("with heads merged only by a view", MERGED, merged="view"),
    wrong("with heads merged after a transpose of positions and head_size", MERGED, merged="dims"),
    wrong("with heads merged after a transpose of heads and head_size", MERGED, merged="ends"),
]
WRONG_ROTATIONS = [
    wrong(
        "without a rotation, or with the same angles at all positions",
        "Which line turns queries and keys, and along which axis do its angles grow: the positions, or the heads?",
        rotated="",
    ),
    wrong("with queries turned, but not keys", TURNED, rotated="q"),
    wrong("with keys turned, but not queries", TURNED, rotated="k"),
    wrong("with values turned, too", TURNED, rotated="qkv"),
    wrong("with keys turned against queries", "In which direction are queries turned, and keys?", opposite=True),
    *(wrong(f"with frequencies of base {base:g}", BASE, base=base) for base in (1e3, 1e5, 5e5, 1e6)),
    wrong("with log10 for the natural logarithm", "Which logarithm has 10,000?", base=math.exp(4)),
    wrong(f"with {SIGN}", SIGNS, signs=(1, 1)),
    wrong(
        "with pairs of one kind, and angles of the other",
        "Which numbers are a pair, neighbours or halves, and in which order do the angles repeat?",
        angles_of_other=True,
    ),
    wrong("with exponents i/D, or base 100", EXPONENT, exponent="i/D"),
    wrong("with exponents 2i/n_embd", "Which width divides the exponents?", exponent="2i/C"),
    wrong("with one frequency for all pairs", "Does the frequency depend on the pair?", exponent="0"),
    wrong("with exponents 2(i + 1)/D", "What is the frequency of the first pair?", exponent="2(i+1)/D"),
    wrong("with exponents 4i/D", EXPONENT, exponent="2i/(D/2)"),
    wrong("with a rotation in the first block only", "Do all blocks turn queries and keys?", rotary_blocks="first"),
    wrong("with a rotation in the first head only", "Do all heads turn queries and keys?", rotary_heads="first"),
]


def of_change(learner: LearnerFile) -> list[Wrong]:
    """The bugs of a change of task 9."""
    return [Wrong(*each) for each in changes.bugs(learner.task)]
