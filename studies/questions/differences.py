"""Do the dense layers differ between blocks and between heads?"""

import copy
import itertools
import statistics

import task06
from common.evaluate import score_split
from common.heard import heard
from studies.questions.shared import COLOURS, IMAGES, learn, table

import torch
from torch import nn
from torch.nn import functional as F


def dense(model):
    """The weight matrices of each block: a list of name → matrix."""
    return [{name: p.detach() for name, p in block.named_parameters() if p.ndim == 2} for block in model.blocks]


def similarity(blocks, n_head):
    """Mean |cosine| of matrices of the same name in two blocks, or of two heads in one."""

    def cosine(one: torch.Tensor, other: torch.Tensor) -> float:
        return F.cosine_similarity(one.flatten(), other.flatten(), dim=0).abs().item()

    across = [cosine(one[name], other[name]) for one, other in itertools.combinations(blocks, 2) for name in one]
    heads = [block["attention.qkv.weight"].chunk(n_head) for block in blocks]
    within = [cosine(one, other) for block in heads for one, other in itertools.combinations(block, 2)]
    return statistics.mean(across), statistics.mean(within)


@torch.no_grad()
def head_maps(model, corpus):
    """(n_layer, H, T): how much the last position of a block of text looks so far back, each head's mean."""
    with heard() as found:
        model(corpus.windows(corpus.splits["val"], torch.arange(0, 80_000, 40))[0])
    return torch.stack([weights[:, :, -1].mean(dim=0).flip(-1) for weights in found])  # the last sees all


def exchange(model, corpus, part):
    """Validation losses with this part of two blocks exchanged, for each pair of blocks."""
    losses = []
    for one, other in itertools.combinations(range(len(model.blocks)), 2):
        exchanged = copy.deepcopy(model)
        first, second = exchanged.blocks[one], exchanged.blocks[other]
        ours, theirs = getattr(first, part), getattr(second, part)
        setattr(first, part, theirs)
        setattr(second, part, ours)
        losses.append(score_split(exchanged, corpus, "val").nats)
    return losses


def differences(corpus, options, draw):
    config = task06.Config()
    model = task06.GPT(config, len(corpus.vocabulary))
    shared = copy.deepcopy(model)
    shared.blocks = nn.Sequential(*[shared.blocks[0]] * config.n_layer)
    before = similarity(dense(model), config.n_head)
    losses, sizes = [], []
    for one in (model, shared):
        torch.manual_seed(options.seed)
        learn(one, corpus, options.steps)
        losses.append(score_split(one, corpus, "val").nats)
        sizes.append(sum(p.numel() for p in one.parameters()))

    swapped = {}
    for part in ("attention", "feed_forward"):
        found = exchange(model, corpus, part)
        swapped[part] = f"{min(found):.3f} to {max(found):.3f}"
    after = similarity(dense(model), config.n_head)
    table(
        ["mean \\|cosine\\| of dense layers", "two blocks", "two heads of a block"],
        ["untrained", *(f"{value:.3f}" for value in before)],
        ["trained", *(f"{value:.3f}" for value in after)],
    )
    table(
        ["task 6", "parameters", "validation loss"],
        ["three blocks", f"{sizes[0]:,}", f"{losses[0]:.3f}"],
        ["one block three times", f"{sizes[1]:,}", f"{losses[1]:.3f}"],
        ["three blocks, attention of two exchanged", f"{sizes[0]:,}", swapped["attention"]],
        ["three blocks, feed_forward of two exchanged", f"{sizes[0]:,}", swapped["feed_forward"]],
    )
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
