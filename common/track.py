"""A run's numbers as they come, in TensorBoard or in Weights & Biases (wandb)."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from common.evaluate import Score
from common.extras import optional

FOLDER = Path("runs")
KINDS = ("tensorboard", "wandb")
CONNECT = 20  # seconds that Weights & Biases has to answer in


def curve(train_loss: float, score: Score, lr: float, tokens_per_second: float) -> dict[str, float]:
    """The numbers of one evaluation: the last batch's loss, and how well the model predicts held-out text."""
    return {
        "train loss": train_loss,
        "train perplexity": math.exp(min(train_loss, 100.0)),
        "val loss": score.nats,
        "val perplexity": score.perplexity,
        "val accuracy": score.accuracy,
        "learning rate": lr,
        "tokens per second": tokens_per_second,
    }


@contextlib.contextmanager
def run(kind: str | None, name: str, settings: dict) -> Iterator[Callable[[int, dict], None]]:
    """A function that takes a step and numbers by name; the run ends with the block. Without a kind it does nothing.

    TensorBoard: runs/NAME, to be seen with `tensorboard --logdir runs`. wandb: project $WANDB_PROJECT, or
    gpt-in-nine-steps; where there is no login or no network (or WANDB_MODE=offline) in runs/wandb, for a later
    `wandb sync`.
    Raises UserError where the package is missing.
    """
    if kind is None:
        yield lambda step, numbers: None
    elif kind == "tensorboard":
        optional("tensorboard", "track")
        with optional("torch.utils.tensorboard", "track").SummaryWriter(FOLDER / name) as writer:
            last = {}

            def log(step, numbers):
                for label, number in numbers.items():
                    writer.add_scalar(label, number, step)
                last.update(numbers)

            try:
                yield log
            finally:  # the table of all runs
                writer.add_hparams(settings, {f"last {label}": n for label, n in last.items()}, run_name=".")
    else:
        wandb = optional("wandb", "track")
        FOLDER.mkdir(exist_ok=True)
        how = {
            "project": os.environ.get("WANDB_PROJECT") or "gpt-in-nine-steps",
            "name": name,
            "config": settings,
            "dir": FOLDER.resolve(),  # for its server, which may have been started elsewhere
            "reinit": "finish_previous",
            "settings": wandb.Settings(silent=True, console="off", init_timeout=CONNECT),
        }
        try:
            started = wandb.init(**how)
        except (wandb.errors.UsageError, wandb.errors.CommError):  # no login, no network
            started = wandb.init(**how, mode="offline")
        with started:
            yield lambda step, numbers: started.log(numbers, step=step)
