"""What the four questions share: a short training, tables, and where pictures go."""

from collections.abc import Callable

import task06
from common.data import Corpus
from studies.report import DOCS, markdown

import torch
from torch.nn import functional as F

IMAGES = DOCS / "images"
# Okabe and Ito's colours, told apart by colour-blind readers too: https://jfly.uni-koeln.de/color/
COLOURS = ["#999999", "#E69F00", "#56B4E9", "#CC79A7", "#009E73", "#D55E00"]


def learn(model, corpus: Corpus, steps: int, watch: Callable[[], None] | None = None) -> None:
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


def table(*rows) -> None:
    """Rows of cells, the first of them the header, as Markdown."""
    print(markdown(*([cell if isinstance(cell, str) else f"{cell:.3g}" for cell in row] for row in rows)), flush=True)
