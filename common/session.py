"""What a training run does besides learning: it resumes, saves, logs its numbers, and stops at a signal."""

import shlex
import sys
import time
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from common import parallel, track
from common.checkpoint import model_name, restore_run, save_run
from common.config import TrainingConfig
from common.data import Corpus
from common.evaluate import Score
from common.optim import get_lr
from common.progress import hint, stop_if_not_finite
from common.run import Interrupted, stop_requests
from common.terminal import in_torchrun

import torch
from torch import nn
from torch.optim import Optimizer


class Session(ExitStack):
    """A run that saves, resumes and tracks as `options` say; `first` is the step that it begins with.

    Raises UserError if a checkpoint does not fit.
    """

    def __init__(
        self, model: nn.Module, optimizers: list[Optimizer], corpus: Corpus, config: TrainingConfig, options: Namespace
    ):
        super().__init__()
        self.config, self.path, self.every = config, options.save, options.save_every
        run, seed = (model, optimizers, corpus, config), getattr(options, "seed", 0)
        self.first = restore_run(options.resume, *run, seed) if options.resume else 0
        corpus.skip(self.first * config.accumulate * config.batch_size)
        self.save = partial(save_run, self.path, *run, seed=seed)
        if self.path and parallel.size() > 1:
            self.save(self.first)  # a restart finds this run's file, not an older one
        kind = getattr(options, "track", None) if parallel.rank() == 0 else None
        self.note = self.enter_context(track.run(kind, f"{model_name(model)} seed {seed}", asdict(config)))
        self.stop_requested = lambda: False
        if self.path:
            notice = f"Stopping after this step, to save {self.path}. Ctrl-C again stops at once, without."
            self.stop_requested = self.enter_context(stop_requests(partial(hint, notice)))
        self.seconds = 0.0  # in steps, evaluations and saves not counted
        self.since = time.perf_counter()

    def track(self, step: int, train: Score, val: Score) -> None:
        """Log the numbers of an evaluation."""
        windows = (step - self.first) * self.config.batch_size * self.config.accumulate
        speed = windows * self.config.block_size / max(self.seconds, 1e-9)
        numbers = track.curve(train.nats, val, get_lr(step, self.config) * self.config.learning_rate, speed)
        self.note(step, numbers | {"train accuracy": train.accuracy})
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


def going_on(saved: Path) -> str:
    """The command that resumes this run, to follow "saved to …"; torchrun's own is unknown, and resumes by itself."""
    if in_torchrun():
        return "."
    earlier = ArgumentParser(add_help=False, allow_abbrev=False)
    earlier.add_argument("--resume")
    _, words = earlier.parse_known_args()
    spec = sys.modules["__main__"].__spec__
    how = ["-m", spec.name.removesuffix(".__main__")] if spec else [sys.argv[0]]
    return f". To go on: {shlex.join(['python', *how, *words, '--resume', str(saved)])}"
