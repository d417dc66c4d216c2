"""What a run tells: the documented log on stdout, a progress bar on stderr when that is a terminal."""

import sys
import time
from collections.abc import Iterator

from common import exits

REFRESH_SECONDS = 0.2
WIDE = 75  # columns that the whole bar needs on one line

_bar = None


def training_epochs(total: int, first: int = 0) -> Iterator[int]:
    """Count the epochs first … total - 1, with epochs per second and time left on a terminal's stderr."""
    global _bar
    _bar = _start_bar(total, first)
    shown_at = 0.0
    for epoch in range(first, total):
        exits.at(f"at epoch {epoch} of {total}")
        yield epoch
        if _bar and time.monotonic() - shown_at > REFRESH_SECONDS:
            shown_at = time.monotonic()
            _bar.update(_bar.task_ids[0], completed=epoch + 1, refresh=True)
    if _bar:
        _bar.update(_bar.task_ids[0], completed=total, refresh=True)
        _bar.stop()
        _bar = None
    exits.at(f"after all {total} epochs")


def log_losses(epoch: int, train_loss: float, val_loss: float) -> None:
    """Print one line of the documented log; losses in nats per character."""
    bar_in_the_way = _bar and exits.is_terminal(sys.stdout)
    if bar_in_the_way:
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
    print(f"Epoch {epoch}: avg train loss {train_loss:.4f} | avg val loss {val_loss:.4f}", flush=True)
    if bar_in_the_way:
        _bar.refresh()


def hint(text: str) -> None:
    """Tell a person at a terminal something that is no result; piped and redirected runs stay silent."""
    if exits.is_terminal(sys.stderr):
        from rich.console import Console

        Console(stderr=True, highlight=False).print(text, style="dim", markup=False)


def _start_bar(total: int, first: int):
    if not exits.is_terminal(sys.stderr):
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    class Speed(ProgressColumn):
        def render(self, task):
            speed = task.speed or 0
            return f"{speed:.0f} epochs/s," if speed >= 10 else f"{speed:.2f} epochs/s,"

    console = Console(stderr=True)
    columns = [
        TextColumn("Epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        Speed(),
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
