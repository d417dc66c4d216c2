"""What shapes have queries, keys and values, why this form, and what else could give weights?"""

import task01
from common.evaluate import score_split
from common.run import progress
from studies.questions.shared import IMAGES, learn, table

import torch
from torch import nn
from torch.nn import functional as F

SCORES = {
    "dot product / √D (task 1)": lambda layer, q, k: q @ k.mT * layer.scale,
    "dot product, no scale": lambda layer, q, k: q @ k.mT,
    "squared distance / -2√D": lambda layer, q, k: -torch.cdist(q, k).square() * layer.scale / 2,
    "cosine · √D": lambda layer, q, k: F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT / layer.scale,
    "additive, uᵀ tanh(q + k)": lambda layer, q, k: (q[:, :, None] + k[:, None]).tanh() @ layer.direction,
    "none: all alike": lambda layer, q, k: 0 * (q @ k.mT),
}

WIDTHS = (4, 16, 64, 256)


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


def saturation(scaled):
    """The largest of eight weights, on average, for random queries and keys of each width."""
    for width in WIDTHS:
        q, k = torch.randn(2, 2000, 8, width)
        scores = q[:, :1] @ k.mT * (width**-0.5 if scaled else 1)
        yield f"{F.softmax(scores, dim=-1).amax(dim=-1).mean().item():.2f}"


def compare_scores(corpus, steps, seed):
    """For each score function: validation loss after a short training of task 1, and mean weights (T, T)."""
    found = {}
    config = task01.Config()
    for name, score in SCORES.items():
        progress.where = f"while task 1 learned with scores by {name}"
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
    table(
        ["width D", *map(str, WIDTHS)],
        ["largest of 8 weights, q kᵀ", *saturation(scaled=False)],
        ["largest of 8 weights, q kᵀ / √D", *saturation(scaled=True)],
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
