"""The training loop from task 7 on: schedule, gradient clipping, bfloat16, checkpoints, several processes."""

import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

from common import parallel
from common.checkpoint import model_name, restore_run, save_run
from common.config import TrainingConfig
from common.data import Corpus, Tokens
from common.evaluate import Score, estimate_loss, estimate_score, score_split
from common.optim import configure_optimizers, get_lr, get_window, initialize
from common.precision import low_precision
from common.progress import hint, log_losses, stop_if_not_finite, training_steps
from common.run import Interrupted, stop_requests
from common.terminal import in_torchrun
from common.track import run as start_tracking

import torch
from torch import nn
from torch.nn import functional as F


def train(
    model: nn.Module, corpus: Corpus, config: TrainingConfig, options: Namespace, judged: nn.Module | None = None
) -> None:
    """Train in place and print the log; save and resume as `options` (`save`, `save_every`, `resume`) say.

    Losses are in nats per character, of `judged`, the model itself by default. Where the log evaluates the whole
    validation text, a last line adds the documented protocol's random batches, which cost more than a step.
    A run that is stopped and resumed prints the same later lines.
    Raises UserError for a checkpoint that does not fit, Interrupted after a signal, once the run is saved.
    """
    if config.init_std and not options.resume:
        initialize(model, config.init_std)
    optimizers = configure_optimizers(model, config)
    seed = getattr(options, "seed", 0)
    first = restore_run(options.resume, model, optimizers, corpus, config, seed) if options.resume else 0
    corpus.skip(first * config.accumulate * config.batch_size)
    trained = parallel.wrap(model, options.device)
    judged = judged or model
    precision = low_precision(options.device)
    model.train()
    save = partial(save_run, options.save, model, optimizers, corpus, config)
    if options.save and parallel.size() > 1:
        save(first, seed)  # a restart finds this run's file, no older one

    def say_that_it_saves() -> None:
        hint(f"Stopping after this step, to save {options.save}. Ctrl-C again stops at once, without.")

    kind = getattr(options, "track", None) if parallel.rank() == 0 else None
    seconds = 0.0  # in steps, evaluations and saves not counted
    with (
        start_tracking(kind, f"{model_name(model)} seed {seed}", asdict(config)) as track,
        stop_requests(say_that_it_saves) if options.save else nullcontext(lambda: False) as stop_requested,
    ):
        for step in training_steps(config.max_steps, first):
            if config.eval_interval and (step % config.eval_interval == 0 or step == config.max_steps - 1):
                with precision:
                    scores = evaluate(judged, corpus, config)
                log_losses(step, *(score.nats for score in scores))
                speed = (step - first) * config.batch_size * config.accumulate * config.block_size / max(seconds, 1e-9)
                track(step, tracked(scores, get_lr(step, config) * config.learning_rate, speed))
            start = time.perf_counter()
            loss = update(trained, corpus, config, optimizers, step, precision).item()
            stop_if_not_finite(f"the loss at step {step}", loss)
            seconds += time.perf_counter() - start
            stop = any(parallel.total(stop_requested()))  # all processes or none
            due = (step + 1) % options.save_every == 0 or step + 1 == config.max_steps
            if options.save and (due or stop):
                last = stop or step + 1 == config.max_steps
                _save_or_warn(save, step + 1, seed, last)
                stop = stop or any(parallel.total(stop_requested()))  # Ctrl-C while it saved
            if stop:
                where = f"after step {step} of {config.max_steps}, saved to {options.save}"
                raise Interrupted(where + going_on(options.save))
    if config.whole_split:
        with precision:
            whole = score_split(judged, corpus, "val")
            drawn = estimate_loss(judged, corpus, "val", config.eval_batches, config.batch_size)
        print(
            f"Final val loss: {whole.nats:.4f} on the whole split ({whole.bits:.4f} bits, perplexity "
            f"{whole.perplexity:.3f}, accuracy {whole.accuracy:.4f}) | {drawn:.4f} over random batches",
            flush=True,
        )
    parallel.finish()


def going_on(saved: Path) -> str:
    """The command that resumes this run, to follow "saved to …"; torchrun's own is unknown, and resumes by itself."""
    if in_torchrun():
        return "."
    words, spec = sys.argv[1:], sys.modules["__main__"].__spec__
    if "--resume" in words:
        at = words.index("--resume")
        del words[at : at + 2]
    words = [word for word in words if not word.startswith("--resume=")]
    how = ["-m", spec.name.removesuffix(".__main__")] if spec else [sys.argv[0]]
    return f". To go on: {shlex.join(['python', *how, *words, '--resume', str(saved)])}"


def _save_or_warn(save: Callable[[int, int], None], step: int, seed: int, last: bool) -> None:
    """Save a run; where that fails in its middle (a full disk), say so and go on: the next save may succeed."""
    try:
        save(step, seed)
    except OSError as error:
        if last:
            raise
        print(f"Not saved at step {step}: {error}. The run goes on and tries again.", file=sys.stderr, flush=True)


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
    """Scores of training and validation text: random batches, or all of the latter and as much of the former."""
    if config.whole_split:
        return score_split(model, corpus, "train"), score_split(model, corpus, "val")
    sizes = config.eval_batches, config.batch_size
    return estimate_score(model, corpus, "train", *sizes), estimate_score(model, corpus, "val", *sizes)


def tracked(scores: tuple[Score, Score], lr: float, tokens_per_second: float) -> dict[str, float]:
    """What --track notes at a line of the log: a name for each number."""
    numbers = {"learning rate": lr, "tokens per second": tokens_per_second}
    for name, score in zip(("train", "val"), scores, strict=True):
        numbers |= {f"{name} loss": score.nats, f"{name} perplexity": score.perplexity}
        numbers[f"{name} accuracy"] = score.accuracy
    return numbers
