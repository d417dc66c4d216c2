"""The training loop from task 7 on: task 6's with a schedule, bfloat16 and, if wanted, several batches a step."""

from argparse import Namespace
from contextlib import AbstractContextManager

from common import parallel
from common.config import TrainingConfig
from common.data import Corpus, Tokens
from common.evaluate import Score, estimate_score, score_split
from common.optim import configure_optimizers, get_lr, get_window, initialize
from common.precision import low_precision
from common.progress import log_losses, log_whole_split, training_steps
from common.session import Session

import torch
from torch import nn
from torch.nn import functional as F


def train(model: nn.Module, corpus: Corpus, config: TrainingConfig, options: Namespace) -> None:
    """Train in place and print the log; save and resume as `options` (`save`, `save_every`, `resume`) say.

    Losses are in nats per character. If the log is about blocks of the validation text, its last line is about all.
    A run that is stopped and resumed prints the same later lines.
    Raises UserError for a checkpoint that does not fit, Interrupted after a signal, once the run is saved.
    """
    if config.init_std:
        initialize(model, config.init_std)
    optimizers = configure_optimizers(model, config)
    precision = low_precision(options.device)
    model.train()
    with Session(model, optimizers, corpus, config, options) as run:  # resumes, saves, tracks
        trained = parallel.wrap(model)
        for step in training_steps(config.max_steps, run.first):
            is_last = step == config.max_steps - 1
            if config.eval_interval and (step % config.eval_interval == 0 or is_last):
                with precision:
                    train_score, val_score = evaluate(model, corpus, config)
                log_losses(step, train_score.nats, val_score.nats)
                run.track(step, train_score, val_score)
            loss = update(trained, corpus, config, optimizers, step, precision)
            run.end_step(step, loss)
    if config.whole_split:
        with precision:
            whole = score_split(model, corpus, "val")
        log_whole_split(whole)
    parallel.finish()


def update(
    model: nn.Module,
    corpus: Tokens,
    config: TrainingConfig,
    optimizers: list[torch.optim.Optimizer],
    step: int,
    precision: AbstractContextManager,
) -> torch.Tensor:
    """One step: the gradient of a batch (or of several, accumulated), an update by each optimizer; the last loss."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * get_lr(step, config)
    window = get_window(step, config)
    for _ in range(config.accumulate):
        batch = map(parallel.share, corpus.next_batch(config.batch_size))
        tokens, targets = (part.reshape(-1, window) for part in batch)  # (B, T) each
        with parallel.own_noise(), precision:
            logits = model(tokens)  # (B, T, V)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        (loss / config.accumulate).backward()
    if config.grad_clip:
        nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.detach()


def evaluate(model: nn.Module, corpus: Corpus, config: TrainingConfig) -> tuple[Score, Score]:
    """Scores of training and validation text: over random batches, or over as many blocks of each."""
    if config.whole_split:
        every = config.eval_every
        return score_split(model, corpus, "train", every=every), score_split(model, corpus, "val", every=every)
    sizes = config.eval_batches, config.batch_size
    return estimate_score(model, corpus, "train", *sizes), estimate_score(model, corpus, "val", *sizes)
