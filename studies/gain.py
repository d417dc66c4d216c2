"""What the laptop preset gains over the documented recipe on this machine: python -m studies.gain [speedrun_laptop]

Times a few epochs of the documented preset in plain float32 and, from that, extrapolates how long this
machine would take to epoch 4,000, where the documented log first prints its best validation loss, 1.4868
(evaluations not counted). Sets that against the recorded runs of task 7's laptop preset, or the speedrun's,
which count everything.
"""

from common import exits
from common.exits import UserError, end_cleanly

end_cleanly(__name__)

import argparse
import os
import platform
import re
import statistics
import time
from pathlib import Path

import torch

import task07
from common import training
from common.data import Corpus
from common.options import DEFAULT_TEXT, Parser, whole_number

LOGS = Path(__file__).resolve().parent.parent / "docs" / "logs"
BEST_EPOCH = 4000


def seconds_an_epoch(epochs):
    """The quickest of some epochs of the documented preset, in float32, on all cores."""
    config = task07.PRESETS["documented"]
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    torch.manual_seed(42)
    model = task07.GPT(config, len(corpus.vocabulary))
    optimizers = training.configure_optimizers(model, config)
    plain = torch.autocast("cpu", enabled=False)
    times = []
    for epoch in range(epochs):
        start = time.perf_counter()
        training.update(model, corpus, config, optimizers, epoch, plain)
        times.append(time.perf_counter() - start)
    return min(times)


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=whole_number(1), default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument("runs", nargs="?", default="task07", choices=["task07", "speedrun_laptop"], metavar="RUNS",
                        help="%(choices)s (default: %(default)s)")  # fmt: skip
    options = parser.parse_args()
    logs = sorted(LOGS.glob(f"{options.runs}_seed*.txt"))
    if not logs:
        raise UserError(f"{LOGS}: no run to compare with; studies.record makes them (README)")
    exits.at("while it measured")
    epoch = seconds_an_epoch(options.epochs)
    documented = BEST_EPOCH * epoch
    print(f"documented preset, float32: {epoch:.2f} s an epoch (quickest of {options.epochs}), so "
          f"{documented / 3600:.1f} hours to epoch {BEST_EPOCH} (extrapolated)")  # fmt: skip
    ratios = []
    for log in logs:
        text = log.read_text(encoding="utf-8")
        seconds = int(re.search(r"^# (\d+) s", text, re.MULTILINE)[1])
        loss = re.search(r"^Final val loss: ([\d.]+)", text, re.MULTILINE)[1]
        ratios.append(documented / seconds)
        print(f"{log.stem}: {seconds} s to {loss} on the whole split, {ratios[-1]:.0f} times as fast")
    print(f"mean: {statistics.mean(ratios):.0f} times as fast")
    print(f"# {os.cpu_count()} cores, {platform.machine()}, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
