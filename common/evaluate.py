"""Losses in nats per character: by the documented protocol, and over a whole split."""

import math
from dataclasses import dataclass
from typing import Any

from common.data import Tokens
from common.mode import evaluation_mode
from common.progress import evaluation_parts

import torch
from torch import nn
from torch.nn import functional as F

LOGITS_AT_ONCE = 2**24  # B · T · V
SCORES_AT_ONCE = 2**21  # of each head's attention, B · T · T, in one forward pass; one is enough for tasks 1 to 6


def check_prompt(tokens: torch.Tensor) -> None:
    """Raise ValueError for tokens that no model can continue; called by learners' files of earlier starters."""
    if tokens.ndim != 2 or not tokens.numel() or tokens.dtype != torch.int64:
        raise ValueError(
            f"tokens: expected int64 of shape (B, T), T at least 1, got {tokens.dtype} of {tuple(tokens.shape)}"
        )


def estimate_losses(model: nn.Module, corpus: Tokens, config: Any) -> tuple[float, float]:
    """The losses of training and validation text, each over `config.eval_batches` random batches."""
    sizes = config.eval_batches, config.batch_size
    return estimate_loss(model, corpus, "train", *sizes), estimate_loss(model, corpus, "val", *sizes)


def estimate_loss(model: nn.Module, corpus: Tokens, split: str, batches: int, batch_size: int) -> float:
    """Mean cross-entropy over random batches of a split: the protocol of the documented logs."""
    return estimate_score(model, corpus, split, batches, batch_size).nats


@torch.no_grad()
def estimate_score(model: nn.Module, corpus: Tokens, split: str, batches: int, batch_size: int) -> "Score":
    """How well a model predicts random batches of a split.

    The batches go through the model together, as many at once as memory allows, in evaluation mode.
    """
    tokens, targets = corpus.batch(split, batches * batch_size)  # (B, T) each
    return _score(model, tokens, targets, torch.ones_like(targets, dtype=torch.bool))


@dataclass(frozen=True)
class Score:
    """How well a model predicts the next character, on average over `characters` of them, in nats or bits for each."""

    nats: float
    accuracy: float
    characters: int

    @property
    def bits(self) -> float:
        return self.nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """The number of equally likely characters that would give the same loss."""
        return math.exp(self.nats)


@torch.no_grad()
def score_split(
    model: nn.Module, corpus: Tokens, split: str, stride: int = 0, at_once: int = SCORES_AT_ONCE, every: int = 1
) -> Score:
    """Predict every character of the validation text (but its first) once; of the training text, as many.

    By default in blocks side by side, so that a block's first characters have little context. With a stride, blocks
    overlap and only the last `stride` characters of each count: with half a block, every character has at least half
    a block of context (save at the text's start). `every` takes each n-th block only: an estimate in less time.
    `at_once` bounds a forward pass, in B · T · T; a large vocabulary's logits may need it smaller.
    """
    text = corpus.splits[split][: len(corpus.splits["val"])]
    T = corpus.block_size
    starts = torch.arange(0, len(text) - T, stride or T, device=text.device)
    starts = torch.cat([starts, starts.new_tensor([len(text) - 1 - T])]).unique()  # (B), the last block ends the text
    starts = starts[::every]  # (B / every)
    tokens, targets = corpus.windows(text, starts)  # (B, T) each
    ends = starts + T
    already = torch.cat([ends.new_zeros(1), ends[:-1]])  # (B): where the block before ended
    counts = (starts[:, None] + torch.arange(T, device=text.device)) >= already[:, None]  # (B, T)
    return _score(model, tokens, targets, counts, at_once)


def _score(
    model: nn.Module, tokens: torch.Tensor, targets: torch.Tensor, counts: torch.Tensor, at_once: int = SCORES_AT_ONCE
) -> Score:
    from common import parallel  # not imported with the lessons, whose first six know nothing of it

    nats = hits = 0.0
    total = int(counts.sum())
    T, symbols = tokens.shape[1], int(targets.max()) + 1  # about V
    rows = max(1, min(at_once // T**2, LOGITS_AT_ONCE // (T * symbols)))
    with evaluation_mode(model):
        parts = range(parallel.rank() * rows, len(tokens), parallel.size() * rows)
        for part in evaluation_parts(parts):
            chosen = counts[part : part + rows]  # (B, T)
            logits = model(tokens[part : part + rows])[chosen].float()  # (N, V)
            expected = targets[part : part + rows][chosen]  # (N)
            nats += len(expected) / total * F.cross_entropy(logits, expected).item()
            hits += (logits.argmax(dim=-1) == expected).sum().item()
    nats, hits = parallel.total(nats, hits)
    return Score(nats, hits / total, total)
