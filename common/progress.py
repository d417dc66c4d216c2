"""What a run tells: the documented log on stdout, a progress bar on stderr when that is a terminal."""

import sys
import time
from collections.abc import Iterator

from common.data import Corpus
from common.run import is_terminal, progress

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)

REFRESH_SECONDS = 0.2
WIDE = 75  # columns that the whole bar needs on one line


def training_steps(total: int, first: int = 0) -> Iterator[int]:
    """Count the steps first … total - 1, with steps per second and time left on a terminal's stderr."""
    bar = _start_bar(total, first) if is_terminal(sys.stderr) else None
    shown_at = 0.0
    try:
        for step in range(first, total):
            progress.where = f"at step {step} of {total}"
            yield step
            if bar and (time.monotonic() - shown_at > REFRESH_SECONDS or step == total - 1):
                shown_at = time.monotonic()
                bar.update(bar.task_ids[0], completed=step + 1, refresh=True)
    finally:
        if bar:
            bar.stop()
    progress.where = f"after all {total} steps"


def log_losses(step: int, train_loss: float, val_loss: float) -> None:
    """Print one line of the documented log; losses in nats per character. It says "Epoch" for a step."""
    if is_terminal(sys.stdout) and is_terminal(sys.stderr):  # the line takes the place of the bar
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
    print(f"Epoch {step}: avg train loss {train_loss:.4f} | avg val loss {val_loss:.4f}", flush=True)


def print_sample(model, corpus: Corpus) -> None:
    """Print what the course prints at the end: 500 tokens that a lesson's GPT generates after a line break."""
    print("\nSampling 500 tokens from a trained model: ", flush=True)
    start = torch.zeros(1, 1, dtype=torch.long, device=corpus.splits["val"].device)  # the vocabulary's first symbol
    print(corpus.decode(model.generate(start, max_new_tokens=500)[0, 1:]))


def hint(text: str) -> None:
    """Tell a person at a terminal something that is no result; piped and redirected runs stay silent."""
    if is_terminal(sys.stderr):
        Console(stderr=True, highlight=False).print(text, style="dim", markup=False)


class SteadyConsole(Console):
    """Leaves the cursor alone: a run that is stopped or killed then cannot leave it hidden."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


class _Speed(ProgressColumn):
    def render(self, task: Task) -> str:
        speed = task.speed or 0
        return f"{speed:.0f} steps/s," if speed >= 10 else f"{speed:.2f} steps/s,"


def _start_bar(total: int, first: int) -> Progress:
    console = SteadyConsole(stderr=True)
    columns = [
        TextColumn("Step"),
        MofNCompleteColumn(),
        BarColumn(),
        _Speed(),
        TimeRemainingColumn(),
        TextColumn("left"),
    ]
    bar = Progress(
        *(columns if console.width >= WIDE else columns[:2]),
        console=console,
        auto_refresh=False,  # no thread: Ctrl-C needs to stop nothing but this one
        redirect_stdout=False,  # the log is printed around the bar, untouched
        redirect_stderr=False,
    )
    bar.add_task("", total=total, completed=first)
    bar.start()
    return bar
