"""What the studies at equal training time share: a schedule that follows the clock, flags, report, curves."""

import argparse
import dataclasses
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from common import training
from common.data import Tokens
from common.options import Parser, whole_number
from common.training import Recipe
from studies.extras import pyplot

DOCS = Path(__file__).resolve().parent.parent / "docs"
PARTS = 1000  # of the time: the schedule follows the clock, not the epochs, whose number nobody knows before


@dataclasses.dataclass(frozen=True)
class Moment:
    """How far a training run is."""

    part: int  # 1, 2, …
    seconds: float  # of training
    epochs: int
    loss: float  # of the last batch, nats per token


def clocked(config: Recipe, cooldown: float = 0.7) -> Recipe:
    """The recipe with a schedule in parts of the time: 4% of rise, `cooldown` (a fraction) of fall."""
    return dataclasses.replace(config, epochs=PARTS, warmup=PARTS // 25, cooldown=int(cooldown * PARTS))


def train_for(seconds: float, parts: int, model: nn.Module, corpus: Tokens, config: Recipe, optimizers: list,
              ) -> Iterator[Moment]:  # fmt: skip
    """Train for so many seconds with a recipe of `clocked`, pausing after each of so many equal parts.

    What the caller does in a pause, an evaluation say, is not counted.
    """
    precision = training.low_precision(torch.device("cpu"))
    trained, epochs = 0.0, 0
    for part in range(1, parts + 1):
        while trained < seconds * part / parts:
            start = time.perf_counter()
            loss = training.update(model, corpus, config, optimizers, int(trained / seconds * PARTS), precision)
            trained += time.perf_counter() - start
            epochs += 1
        yield Moment(part, trained, epochs, loss.item())


def count(model: nn.Module) -> int:
    """Its parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def parser(description: str, seconds: int, tune: bool = True, picture: bool = True) -> Parser:
    """The flags of a study that trains several models, `seconds` each by default, with several seeds.

    `tune`: it has recipes to try; `picture`: its report has one, and needs matplotlib.
    """
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=whole_number(1), default=None, metavar="N",
                        help=f"of training, for each model and seed (default: {seconds}; quick: 1)")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=whole_number(0), default=None, metavar="N",
                        help="a run of each model for each of them (default: 42 43 44; quick: 42)")  # fmt: skip
    parser.add_argument("--threads", type=whole_number(1, os.cpu_count() or 1), default=torch.get_num_threads(),
                        metavar="N", help="processor threads (default: %(default)s)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="tiny models for a second each: a try, no result")
    parser.set_defaults(tune=False)
    if tune:
        parser.add_argument("--tune", action="store_true",
                            help="try the recipes on a part of the training text instead, one seed each; "
                            "what is held out for the report is not looked at")  # fmt: skip
    parser.add_argument("--report", action="store_true",
                        help=f"write the log{' and the picture' * picture} under docs/ too")  # fmt: skip
    parser.set_defaults(default_seconds=seconds, picture=picture)
    return parser


def parse_options(parser: Parser) -> argparse.Namespace:
    """Read the command line and set the number of threads. Raises UserError where it asks for the impossible."""
    options = parser.parse_args()
    if options.quick and options.report:
        parser.error("argument --report: not with --quick, whose numbers are none")
    options.seconds = options.seconds or (1 if options.quick else options.default_seconds)
    options.seeds = options.seeds or ([42] if options.quick else [42, 43, 44])
    if options.report and options.picture and not options.tune:
        pyplot()  # missing, it is missed now, not after half an hour
    torch.set_num_threads(options.threads)
    return options


class Report:
    """Lines for stdout, kept for docs/logs/NAME.txt."""

    def __init__(self):
        self.lines = []

    def __call__(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def machine(self, threads: int, start: float) -> None:
        """The last line: time since `start` (of time.perf_counter) and the machine."""
        self()
        self(f"# {time.perf_counter() - start:.0f} s in all, {threads} of {os.cpu_count()} cores, "
             f"{platform.machine()}, PyTorch {torch.__version__}")  # fmt: skip

    def save(self, study: str, name: str) -> None:
        """Write docs/logs/NAME.txt, headed by the command."""
        command = " ".join([f"$ python -m studies.{study}", *sys.argv[1:]])
        (DOCS / "logs" / f"{name}.txt").write_text("\n".join([command, *self.lines]) + "\n", encoding="utf-8")


def spread(values: list[float], digits: int = 4) -> str:
    """Mean ± standard deviation."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def draw(axes, seconds: list[float], runs: list[list[float]], colour: str, label: str, style: str = "o-") -> None:
    """A model's losses over training time: the mean of its runs as a line, their range as an area."""
    columns = list(zip(*runs, strict=True))
    axes.plot(seconds, [statistics.mean(column) for column in columns], style, color=colour, markersize=4, label=label)
    lowest, highest = [min(column) for column in columns], [max(column) for column in columns]
    axes.fill_between(seconds, lowest, highest, color=colour, alpha=0.25, linewidth=0)
