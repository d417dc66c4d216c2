"""What a training run does besides learning: it resumes, saves, logs its numbers, and stops at a signal."""

import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

from common import parallel
from common.checkpoint import model_name, restore_run, save_run
from common.config import TrainingConfig
from common.data import Corpus
from common.evaluate import Score
from common.optim import get_lr
from common.progress import hint, stop_if_not_finite
from common.run import Interrupted, stop_requests
from common.terminal import in_torchrun
from common.track import run as start_tracking

import torch
from torch import nn


class Session:
    """A run in progress: `first`, the step that it begins with, and what it does around each step."""

    def __init__(
        self,
        config: TrainingConfig,
        options: Namespace,
        first: int,
        save: Callable[[int], None],
        note: Callable[[int, dict], None],
        stop_requested: Callable[[], bool],
    ):
        self.config, self.path, self.every, self.first = config, options.save, options.save_every, first
        self.save, self.note, self.stop_requested = save, note, stop_requested
        self.seconds = 0.0  # in steps, evaluations and saves not counted
        self.since = time.perf_counter()

    def track(self, step: int, scores: tuple[Score, Score]) -> None:
        """Log the numbers of an evaluation."""
        windows = (step - self.first) * self.config.batch_size * self.config.accumulate
        speed = windows * self.config.block_size / max(self.seconds, 1e-9)
        self.note(step, tracked(scores, get_lr(step, self.config) * self.config.learning_rate, speed))
        self.since = time.perf_counter()

    def end_step(self, step: int, loss: torch.Tensor) -> None:
        """Save if it is time to. Raises UserError if the run diverged, Interrupted if it was asked to stop."""
        stop_if_not_finite(f"the loss at step {step}", loss.item())
        self.seconds += time.perf_counter() - self.since
        stop, is_last = self._must_stop(), step + 1 == self.config.max_steps
        if self.path and (stop or is_last or (step + 1) % self.every == 0):
            self._save_or_warn(step + 1, stop or is_last)
            stop = stop or self._must_stop()  # Ctrl-C during saving
        if stop:
            where = f"after step {step} of {self.config.max_steps}, saved to {self.path}"
            raise Interrupted(where + going_on(self.path))
        self.since = time.perf_counter()

    def _must_stop(self) -> bool:
        return any(parallel.total(self.stop_requested()))  # all processes or none

    def _save_or_warn(self, steps: int, is_last: bool) -> None:
        """Save; if that fails during the run (a full disk), say so and go on: the next save may succeed."""
        try:
            self.save(steps)
        except OSError as error:
            if is_last:
                raise
            print(f"Not saved at step {steps}: {error}. The run goes on and tries again.", file=sys.stderr, flush=True)


@contextmanager
def session(
    model: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    corpus: Corpus,
    config: TrainingConfig,
    options: Namespace,
) -> Iterator[Session]:
    """A run that saves, resumes and tracks as `options` say. Raises UserError if a checkpoint does not fit."""
    seed = getattr(options, "seed", 0)
    first = restore_run(options.resume, model, optimizers, corpus, config, seed) if options.resume else 0
    corpus.skip(first * config.accumulate * config.batch_size)
    save = partial(save_run, options.save, model, optimizers, corpus, config, seed=seed)
    if options.save and parallel.size() > 1:
        save(first)  # a restart finds this run's file, not an older one
    kind = getattr(options, "track", None) if parallel.rank() == 0 else None
    notice = partial(hint, f"Stopping after this step, to save {options.save}. Ctrl-C again stops at once, without.")
    with (
        start_tracking(kind, f"{model_name(model)} seed {seed}", asdict(config)) as note,
        stop_requests(notice) if options.save else nullcontext(lambda: False) as stop_requested,
    ):
        yield Session(config, options, first, save, note, stop_requested)


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


def tracked(scores: tuple[Score, Score], lr: float, tokens_per_second: float) -> dict[str, float]:
    """The numbers that --track logs with a line of the log, by name."""
    numbers = {"learning rate": lr, "tokens per second": tokens_per_second}
    for name, score in zip(("train", "val"), scores, strict=True):
        numbers |= {f"{name} loss": score.nats, f"{name} perplexity": score.perplexity}
        numbers[f"{name} accuracy"] = score.accuracy
    return numbers
