"""Why is a Transformer built as it is? python -m studies.questions > docs/logs/questions.txt

The numbers and pictures behind docs/questions.md, from the models of the lessons: what recurrence costs
against attention, other functions that turn queries and keys into weights, whether the dense layers of
blocks and heads differ, and what skip connections do to gradients. Losses are nats per character of the
whole validation text. Prints tables in Markdown, writes docs/images/questions_*.png.
Needs matplotlib (pip install ".[plots]") unless --no-pictures. About a minute of processor time.
"""

from common import exits
from common.exits import UserError, end_cleanly

end_cleanly(__name__)

import argparse
import copy
import itertools
import os
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import task01
import task04
import task05
import task06
import task07
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT, Parser, whole_number
from common.progress import hint
from studies.curves import COLOURS
from studies.extras import pyplot

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
WIDTH = 64  # of the layers whose time is taken
LENGTHS = (16, 64, 256, 1024)
DISTANCES = (0, 1, 4, 16, 63)
DEPTHS = (3, 6, 12)
STYLES = ("-", "--", ":")


def learn(model, corpus, steps, watch=None):
    """Train as tasks 1 to 6 do; `watch()` is called between each backward pass and its step."""
    config = task06.Config()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, fused=True)
    for _ in range(steps):
        tokens, targets = corpus.batch("train", config.batch_size)  # (B, T) each
        loss = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        if watch:
            watch()
        optimizer.step()


def table(*rows):
    """Rows of cells, the first of them the header, as Markdown."""
    for number, row in enumerate(rows):
        print("| " + " | ".join(cell if isinstance(cell, str) else f"{cell:.3g}" for cell in row) + " |")
        if not number:
            print("|" + "---|" * len(row))
    print(flush=True)


# Recurrence against attention


def layers(longest):
    """An LSTM and an attention layer of the same width."""
    config = task07.Config(block_size=longest, n_embd=WIDTH, n_head=1, dropout=0.0, paper_scale=True)
    return nn.LSTM(WIDTH, WIDTH, batch_first=True), task07.SelfAttention(config)


def step_by_step(lstm, x):  # (B, T, C)
    """As an LSTM must when each input is known only after the last output: T calls that wait for each other."""
    outputs, state = [], None
    for t in range(x.shape[1]):
        output, state = lstm(x[:, t : t + 1], state)
        outputs.append(output)
    return torch.cat(outputs, dim=1)  # (B, T, C)


def cost(rounds=3):
    """Milliseconds, forward and back, of a sequence of each length: an LSTM's two ways, and attention. Medians.

    Processor time of one thread: what else the machine does is not in it.
    """
    lstm, attention = layers(max(LENGTHS))
    ways = [lambda x: step_by_step(lstm, x), lambda x: lstm(x)[0], attention]
    rows = []
    for length in LENGTHS:
        x = torch.randn(1, length, WIDTH)  # (B, T, C)
        times = [[] for _ in ways]
        for _, (compute, found) in itertools.product(range(rounds), zip(ways, times, strict=True)):
            start = time.process_time()
            compute(x).sum().backward()
            found.append(1000 * (time.process_time() - start))
        rows.append([length, *(statistics.median(found) for found in times)])
    return rows


def reach(longest=64, rows=32):
    """(T): how much the last output of an untrained layer feels the input so far back; LSTM, then attention."""
    lstm, attention = layers(longest)
    felt = []
    for compute in (lambda x: lstm(x)[0], attention):
        x = torch.randn(rows, longest, WIDTH, requires_grad=True)  # (B, T, C)
        (compute(x)[:, -1] * torch.randn(rows, WIDTH)).sum().backward()
        felt.append(x.grad.norm(dim=-1).mean(dim=0).flip(0))
    return felt


# Weights from queries and keys

SCORES = {
    "dot product / √D (task 1)": lambda layer, q, k: q @ k.mT * layer.scale,
    "dot product, no scale": lambda layer, q, k: q @ k.mT,
    "squared distance / -2√D": lambda layer, q, k: -torch.cdist(q, k).square() * layer.scale / 2,
    "cosine · √D": lambda layer, q, k: F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT / layer.scale,
    "additive, uᵀ tanh(q + k)": lambda layer, q, k: (q[:, :, None] + k[:, None]).tanh() @ layer.direction,
    "none: all alike": lambda layer, q, k: 0 * (q @ k.mT),
}


class Scored(task01.SelfAttention):
    """Task 1's layer with another score function; its weights are kept."""

    def __init__(self, config, score):
        super().__init__(config)
        self.score = score
        self.direction = nn.Parameter(torch.randn(config.head_size) * self.scale)  # u of the additive score

    def forward(self, x):  # (B, T, C)
        T = x.shape[1]
        scores = self.score(self, self.query(x), self.key(x))  # (B, T, T)
        self.weights = F.softmax(torch.where(self.mask[:T, :T], scores, float("-inf")), dim=-1)
        return self.weights @ self.value(x)  # (B, T, D)


def saturation(scaled, widths=(4, 16, 64, 256)):
    """The largest of eight weights, on average, for random queries and keys of each width."""
    found = []
    for width in widths:
        q, k = torch.randn(2, 2000, 8, width)
        scores = q[:, :1] @ k.mT * (width**-0.5 if scaled else 1)
        found.append(F.softmax(scores, dim=-1).amax(dim=-1).mean().item())
    return widths, found


def compare_scores(corpus, steps, seed):
    """For each score function: validation loss after a short training of task 1, and mean weights (T, T)."""
    found = {}
    config = task01.Config()
    for name, score in SCORES.items():
        exits.at(f"while task 1 learned with scores by {name}")
        torch.manual_seed(seed)
        model = task01.GPT(config, len(corpus.vocabulary))
        model.attention = Scored(config, score)
        torch.manual_seed(seed)
        learn(model, corpus, steps)
        loss = score_split(model, corpus, "val").nats
        with torch.no_grad():
            model(corpus.windows(corpus.splits["val"], torch.arange(0, 80_000, 40))[0])
        found[name] = loss, model.attention.weights.detach()
    return found


# Dense layers of blocks and heads


def dense(model):
    """The weight matrices of each block: a list of name → matrix."""
    return [{name: p.detach() for name, p in block.named_parameters() if p.ndim == 2} for block in model.blocks]


def similarity(blocks):
    """Mean |cosine| of matrices of the same name in two blocks, or of two heads in one."""
    cosine = lambda one, other: F.cosine_similarity(one.flatten(), other.flatten(), dim=0).abs().item()  # noqa: E731
    across = [cosine(one[name], other[name]) for one, other in itertools.combinations(blocks, 2) for name in one]
    heads = [[matrix for name, matrix in block.items() if ".heads." in name] for block in blocks]
    within = [cosine(one, other) for block in heads for one, other in itertools.combinations(block, 2)]
    return statistics.mean(across), statistics.mean(within)


def head_maps(model, corpus):
    """(n_layer, H, T): how much the last position of a block of text looks so far back, each head's mean."""
    tokens = corpus.windows(corpus.splits["val"], torch.arange(0, 80_000, 40))[0]
    maps, seen = [], []
    hooks = [block.attention.register_forward_hook(lambda *call: seen.append(call[:2])) for block in model.blocks]
    with torch.no_grad():
        model(tokens)
        for layer, (x,) in seen:
            k, q, _ = torch.stack([head(x) for head in layer.heads], dim=1).chunk(3, dim=-1)  # (B, H, T, D)
            weights = F.softmax(q[:, :, -1:] @ k.mT * layer.scale, dim=-1)  # (B, H, 1, T): the last sees all
            maps.append(weights.mean(dim=(0, 2)).flip(-1))
    for hook in hooks:
        hook.remove()
    return torch.stack(maps)


def exchange(model, corpus, part):
    """Validation losses with this part of two blocks exchanged, for each pair of blocks."""
    losses = []
    for one, other in itertools.combinations(range(len(model.blocks)), 2):
        other_model = copy.deepcopy(model)
        first, second = other_model.blocks[one], other_model.blocks[other]
        ours, theirs = getattr(first, part), getattr(second, part)
        setattr(first, part, theirs)
        setattr(second, part, ours)
        losses.append(score_split(other_model, corpus, "val").nats)
    return losses


# Skip connections


class Unskipped(task05.Block):
    """Task 5's block without its skips."""

    def forward(self, x):  # (B, T, C)
        return self.feed_forward(self.attention(x))


def unskip(model):
    """The same weights, without skips."""
    for block in model.blocks:
        block.__class__ = Unskipped
    return model


def block_norms(model):
    """The norm of the gradient of each block's parameters."""
    return [torch.stack([p.grad.norm() for p in block.parameters()]).norm().item() for block in model.blocks]


def first_norms(model, corpus):
    """The blocks' gradient norms of an untrained model."""
    norms = []
    learn(model, corpus, 1, watch=lambda: norms.extend(block_norms(model)))
    return norms


def follow(model, corpus, steps):
    """The blocks' gradient norms before each step, and the validation loss after them."""
    norms = []
    learn(model, corpus, steps, watch=lambda: norms.append(block_norms(model)))
    return norms, score_split(model, corpus, "val").nats


def recurrence(corpus, options, draw):
    times, (by_lstm, by_attention) = cost(), reach()
    table(
        ["T", "LSTM, T calls (ms)", "LSTM, one call (ms)", "attention (ms)"],
        *([str(row[0]), *(f"{value:.2f}" for value in row[1:])] for row in times),
    )
    table(
        ["how far back", *map(str, DISTANCES)],
        ["LSTM", *(by_lstm[d].item() for d in DISTANCES)],
        ["attention", *(by_attention[d].item() for d in DISTANCES)],
    )
    if not draw:
        return
    figure, (left, right) = draw.subplots(1, 2, figsize=(10, 4), layout="constrained")
    lengths, *columns = zip(*times, strict=True)
    labels = ("LSTM, a call a step", "LSTM, one call", "attention, one call")
    for column, label, colour, mark in zip(columns, labels, COLOURS[-3:], "osv", strict=True):
        left.loglog(lengths, column, mark + "-", color=colour, label=label)
    left.set(xlabel="length T (positions)", ylabel="forward and back (ms, one core)")
    left.set_xticks(lengths, [str(length) for length in lengths], minor=False)
    right.semilogy(by_lstm, "-", color=COLOURS[-3], label="LSTM")
    right.semilogy(by_attention, "--", color=COLOURS[-1], label="attention")
    right.set(xlabel="how far back the input stands (positions)", ylabel="gradient norm of the last output")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(IMAGES / "questions_recurrence.png", dpi=100)


def weights(corpus, options, draw):
    config = task01.Config()
    model = task01.GPT(config, len(corpus.vocabulary))
    tokens, layer = corpus.batch("val", config.batch_size)[0], model.attention
    x = model.token_embedding(tokens) + model.position_embedding.weight  # (B, T, C)
    q, k, v = layer.query(x), layer.key(x), layer.value(x)  # (B, T, D) each
    table(
        ["x", "q", "k", "v", "q kᵀ", "output"],
        [str(tuple(part.shape)) for part in (x, q, k, v, q @ k.mT, layer(x))],
    )
    widths, plain = saturation(scaled=False)
    table(
        ["width D", *map(str, widths)],
        ["largest of 8 weights, q kᵀ", *(f"{value:.2f}" for value in plain)],
        ["largest of 8 weights, q kᵀ / √D", *(f"{value:.2f}" for value in saturation(scaled=True)[1])],
    )
    found = compare_scores(corpus, options.steps, options.seed)
    table(
        ["score", "validation loss", "largest weight at the last position, mean"],
        *([name, f"{loss:.3f}", f"{maps[:, -1].amax(dim=-1).mean():.2f}"] for name, (loss, maps) in found.items()),
    )
    if not draw:
        return
    figure, all_axes = draw.subplots(2, 3, figsize=(9, 6), layout="constrained", sharex=True, sharey=True)
    for axes, (name, (_, maps)) in zip(all_axes.flat, found.items(), strict=True):
        image = axes.imshow(maps.mean(dim=0), cmap="cividis", vmin=0, vmax=1)
        axes.set_title(name, fontsize=10)
    for axes in all_axes[-1]:
        axes.set_xlabel("position looked at")
    for axes in all_axes[:, 0]:
        axes.set_ylabel("position that looks")
    figure.colorbar(image, ax=all_axes, label="attention weight, mean over 2,000 blocks of text")
    figure.savefig(IMAGES / "questions_weights.png", dpi=100)


def differences(corpus, options, draw):
    config = task06.Config()
    model = task06.GPT(config, len(corpus.vocabulary))
    shared = copy.deepcopy(model)
    shared.blocks = nn.Sequential(*[shared.blocks[0]] * config.n_layer)
    before = similarity(dense(model))
    losses, sizes = [], []
    for one in (model, shared):
        torch.manual_seed(options.seed)
        learn(one, corpus, options.steps)
        losses.append(score_split(one, corpus, "val").nats)
        sizes.append(sum(p.numel() for p in one.parameters()))
    after = similarity(dense(model))
    table(
        ["mean \\|cosine\\| of dense layers", "two blocks", "two heads of a block"],
        ["untrained", *(f"{value:.3f}" for value in before)],
        ["trained", *(f"{value:.3f}" for value in after)],
    )
    table(
        ["task 6", "parameters", "validation loss"],
        ["three blocks", f"{sizes[0]:,}", f"{losses[0]:.3f}"],
        ["one block three times", f"{sizes[1]:,}", f"{losses[1]:.3f}"],
        *([f"three blocks, {part} of two exchanged", f"{sizes[0]:,}", f"{min(swapped):.3f} to {max(swapped):.3f}"]
          for part, swapped in ((part, exchange(model, corpus, part)) for part in ("attention", "feed_forward"))),
    )  # fmt: skip
    maps = head_maps(model, corpus)  # (n_layer, H, T)
    mean_distance = (maps * torch.arange(maps.shape[-1])).sum(dim=-1)
    table(
        ["characters back, on average", *(f"head {h}" for h in range(1, config.n_head + 1))],
        *([f"block {n}", *(f"{value:.2f}" for value in row)] for n, row in enumerate(mean_distance.tolist(), 1)),
    )
    if not draw:
        return
    figure, all_axes = draw.subplots(1, config.n_layer, figsize=(10, 3.6), layout="constrained", sharey=True)
    for n, (axes, rows) in enumerate(zip(all_axes, maps, strict=True), 1):
        for h, (row, colour, mark) in enumerate(zip(rows, COLOURS[1:], "osv^", strict=False), 1):
            axes.plot(row, mark + "-", color=colour, label=f"head {h}", markersize=4)
        axes.set(title=f"block {n}", xlabel="how far back (characters)")
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("attention weight, mean")
    all_axes[0].legend()
    figure.savefig(IMAGES / "questions_heads.png", dpi=100)


def skips(corpus, options, draw):
    steps = min(200, options.steps)
    found = {}
    for name, build in (
        ("task 4", lambda: task04.GPT(task04.Config(), len(corpus.vocabulary))),
        ("task 5 without skips", lambda: unskip(task05.GPT(task05.Config(), len(corpus.vocabulary)))),
        ("task 5", lambda: task05.GPT(task05.Config(), len(corpus.vocabulary))),
    ):
        torch.manual_seed(options.seed)
        found[name] = follow(build(), corpus, steps)
    table(
        ["gradient norm at the start", "block 1", "block 2", "block 3", f"validation loss after {steps} steps"],
        *([name, *norms[0], f"{loss:.3f}"] for name, (norms, loss) in found.items()),
    )
    table(
        [f"gradient norm, mean of {steps} steps", "block 1", "block 2", "block 3"],
        *([name, *map(statistics.mean, zip(*norms, strict=True))] for name, (norms, _) in found.items()),
    )
    deep = {"without skips": [], "with skips": []}
    for depth, (name, change) in itertools.product(DEPTHS, (("without skips", unskip), ("with skips", lambda m: m))):
        torch.manual_seed(options.seed)
        model = task05.GPT(task05.Config(n_layer=depth), len(corpus.vocabulary))
        deep[name].append(first_norms(change(model), corpus)[0])
    table(["gradient norm of block 1, untrained", *(f"{depth} blocks" for depth in DEPTHS)],
          *([name, *values] for name, values in deep.items()))  # fmt: skip
    if not draw:
        return
    figure, all_axes = draw.subplots(1, len(found), figsize=(10, 3.8), layout="constrained", sharey=True)
    for axes, (name, (norms, _)) in zip(all_axes, found.items(), strict=True):
        for n, (column, colour, line) in enumerate(zip(zip(*norms, strict=True), COLOURS[-3:], STYLES, strict=True), 1):
            axes.semilogy(column, line, color=colour, label=f"block {n}")
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("norm of the block's gradient (nats)")
    all_axes[0].legend()
    figure.savefig(IMAGES / "questions_skips.png", dpi=100)


ANSWERS = {answer.__name__: answer for answer in (recurrence, weights, differences, skips)}


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", metavar="QUESTION",
                        help=f"{', '.join(ANSWERS)} (default: all, in this order)")  # fmt: skip
    parser.add_argument("--seed", type=whole_number(0), default=42, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--steps", type=whole_number(1), default=1500, metavar="N",
                        help="of the short trainings (default: %(default)s)")  # fmt: skip
    parser.add_argument("--no-pictures", action="store_true", help="print only")
    options = parser.parse_args()
    draw = None if options.no_pictures else pyplot()
    torch.set_num_threads(1)
    corpus = Corpus(DEFAULT_TEXT, task01.Config().block_size)
    for name in options.questions or ANSWERS:
        if name not in ANSWERS:
            raise UserError(f"expected a question, {', '.join(ANSWERS)}, got {name!r}")
        torch.manual_seed(options.seed)
        hint(f"{name} …")
        exits.at(f"at the question of {name}")
        start = time.process_time()
        print(f"## {name}\n")
        ANSWERS[name](corpus, options, draw)
        print(f"# seed {options.seed}, {options.steps:,} steps, {time.process_time() - start:.0f} s on one of "
              f"{os.cpu_count()} cores, {platform.machine()}, PyTorch {torch.__version__}\n", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
