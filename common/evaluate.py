"""Losses in nats per character."""

import torch
from torch import nn
from torch.nn import functional as F

from common.data import Corpus


@torch.no_grad()
def estimate_loss(model: nn.Module, corpus: Corpus, split: str, batches: int, batch_size: int) -> float:
    """Mean cross-entropy over random batches of a split: the protocol of the documented logs.

    All batches go through the model in one forward pass, in evaluation mode (no dropout); the
    model's mode is restored.
    """
    was_training = model.training
    model.eval()
    tokens, targets = corpus.batch(split, batches * batch_size)  # (B, T) each
    logits = model(tokens)  # (B, T, V)
    model.train(was_training)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
