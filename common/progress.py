"""The output of a run: the documented log on stdout, its progress on a terminal's stderr or below a notebook's cell."""

import datetime
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

from common.data import Corpus
from common.mode import evaluation_mode
from common.run import UserError, progress
from common.terminal import has_codes, is_terminal, status, wrapped

import torch

BAR = 20  # columns
DIM, PLAIN = "\x1b[2m", "\x1b[0m"


class Clock:
    """How far a run is, and when it will end, estimated from the times of steps and evaluations so far."""

    def __init__(self, total: int, first: int):
        self.total, self.first, self.step = total, first, first
        self.started = time.monotonic()
        self.evaluated: dict[int, float] = {}  # step → seconds in evaluations before it

    def seconds_a_step(self) -> float:
        seconds = time.monotonic() - self.started - sum(self.evaluated.values())
        return seconds / max(1, self.step - self.first)

    def left(self) -> float:
        """Seconds left; evaluations count from the second one on, because that one shows how often they come."""
        left = self.total - self.step
        seconds = left * self.seconds_a_step()
        if len(self.evaluated) > 1:
            before, last = list(self.evaluated)[-2:]
            seconds += left // (last - before) * sum(self.evaluated.values()) / len(self.evaluated)
        return seconds

    def __str__(self) -> str:
        done = BAR * self.step // self.total
        said = f"Step {self.step}/{self.total} {'━' * done}{'─' * (BAR - done)}"
        if self.step == self.first:
            return said
        return f"{said} {speed(self.seconds_a_step(), 'step')}, {duration(self.left())} left"


_clock: Clock | None = None  # of the run whose steps are counted, if any


def training_steps(total: int, first: int = 0) -> Iterator[int]:
    """Count the steps first … total - 1, and show on a terminal's stderr how long they take and how long is left."""
    global _clock
    clock = _clock = Clock(total, first)
    try:
        status.show(str(clock))
        for step in range(first, total):
            progress.where = f"at step {step} of {total}"
            yield step
            clock.step = step + 1
            if status.is_due() or clock.step in (first + 1, total):
                status.show(str(clock))
        status.leave()
    finally:
        _clock = None
    progress.where = f"after all {total} steps"


def evaluation_parts(parts: range) -> Iterator[int]:
    """The parts of an evaluation, counted on the same line while they are more than one."""
    start, count, clock = time.monotonic(), len(parts), _clock
    before = f"Step {clock.step}/{clock.total}: " if clock else ""
    for done, part in enumerate(parts):
        if count > 1 and (done < 2 or status.is_due()):
            each = (time.monotonic() - start) / max(1, done)
            left = f", {speed(each, 'part')}, {duration((count - done) * each)} left" if done else ""
            status.show(f"{before}Evaluating {done} of {count}{left}")
        yield part
    if clock:
        clock.evaluated[clock.step] = clock.evaluated.get(clock.step, 0.0) + time.monotonic() - start
    elif count > 1:
        status.clear()


def speed(seconds: float, unit: str) -> str:
    """Units a second, or seconds a unit if that is more than one."""
    if seconds > 1:
        return f"{seconds:.1f} s/{unit}"
    return f"{1 / max(seconds, 1e-9):.{0 if seconds < 0.1 else 1}f} {unit}s/s"


def duration(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


def log_losses(step: int, train_loss: float, val_loss: float) -> None:
    """Print one line of the documented log; losses in nats per character. It says "Epoch" for a step.

    Raises UserError if one is not a finite number.
    """
    stop_if_not_finite(f"the loss at step {step}", train_loss, val_loss)
    if is_terminal(sys.stdout):  # the line takes the place of the bar
        status.clear()
    print(f"Epoch {step}: avg train loss {train_loss:.4f} | avg val loss {val_loss:.4f}", flush=True)


def stop_if_not_finite(what: str, *numbers: float) -> None:
    """Raise UserError for a run that diverged."""
    if not all(map(math.isfinite, numbers)):
        raise UserError(
            f"{what} is not a finite number: the run diverged. A lower learning rate, or clipping of "
            "gradients (grad_clip, from task 7 on), may help"
        )


def print_sample(model, corpus: Corpus) -> None:
    """Print what the course prints at the end: 500 tokens that a lesson's GPT generates after a line break.

    Raises UserError for a model whose weights are no longer finite.
    """
    stop_if_not_finite(
        "a weight at the end", *(float(parameter.detach().abs().max()) for parameter in model.parameters())
    )
    print("\nSampling 500 tokens from a trained model: ", flush=True)
    start = torch.zeros(1, 1, dtype=torch.long, device=corpus.splits["val"].device)  # the vocabulary's first symbol
    with evaluation_mode(model):
        print(corpus.decode(model.generate(start, max_new_tokens=500)[0, 1:]))


def log_whole_split(score: Any) -> None:
    """Print the last line of a run that is evaluated over the whole validation text."""
    said = f"{score.bits:.4f} bits, perplexity {score.perplexity:.3f}, accuracy {score.accuracy:.4f}"
    print(f"Final val loss: {score.nats:.4f} on the whole split ({said})", flush=True)


def hint(text: str) -> None:
    """Show a person at a terminal something that is not a result; piped and redirected runs stay silent."""
    if is_terminal(sys.stderr):
        text = wrapped(text, sys.stderr, hanging=2)
        print(f"{DIM}{text}{PLAIN}" if has_codes(sys.stderr) else text, file=sys.stderr, flush=True)
