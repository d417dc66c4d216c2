"""What a run tells: the documented log on stdout, a progress bar on stderr when that is a terminal."""

import sys
import time
from collections.abc import Iterator

from common import exits

REFRESH_SECONDS = 0.2


def training_epochs(total: int) -> Iterator[int]:
    """Count the epochs 0 … total - 1, with epochs per second and time left on a terminal's stderr."""
    bar = _bar(total)
    shown_at = 0.0
    for epoch in range(total):
        exits.at(f"at epoch {epoch} of {total}", bar and bar.stop)
        yield epoch
        if bar and time.monotonic() - shown_at > REFRESH_SECONDS:
            shown_at = time.monotonic()
            bar.update(bar.task_ids[0], completed=epoch + 1, refresh=True)
    if bar:
        bar.update(bar.task_ids[0], completed=total, refresh=True)
        bar.stop()
    exits.at(f"after all {total} epochs, while sampling")


def log_losses(epoch: int, train_loss: float, val_loss: float) -> None:
    """Print one line of the documented log; losses in nats per character."""
    print(f"Epoch {epoch}: avg train loss {train_loss:.4f} | avg val loss {val_loss:.4f}", flush=True)


def _bar(total: int):
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

    class Speed(ProgressColumn):
        def render(self, task):
            return f"{task.speed or 0:.0f} epochs/s,"

    bar = Progress(
        TextColumn("Epoch"), MofNCompleteColumn(), BarColumn(), Speed(), TimeRemainingColumn(), TextColumn("left"),
        console=Console(stderr=True),
        auto_refresh=False,  # no thread: Ctrl-C needs to stop nothing but this one
        redirect_stdout=sys.stdout.isatty(),  # log lines above the bar; a piped stdout is left alone
    )  # fmt: skip
    bar.add_task("", total=total)
    bar.start()
    return bar
