"""How the studies report: flags, lines for the log, curves, and packages that only some of them need."""

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import track
from common.extras import missing, pyplot
from common.machine import describe
from common.parser import MOST_SEED, Parser, whole_number

import torch

DOCS = Path(__file__).resolve().parent.parent / "docs"


def add_threads(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    """The flag --threads."""
    parser.add_argument(
        "--threads",
        type=whole_number(1, os.cpu_count() or 1),
        default=default or torch.get_num_threads(),
        metavar="N",
        help="processor threads (default: %(default)s)",
    )


def add_seed(parser: argparse.ArgumentParser, default: int = 42) -> None:
    """The flag --seed."""
    parser.add_argument(
        "--seed", type=whole_number(0, MOST_SEED), default=default, metavar="N", help="(default: %(default)s)"
    )


def add_track(parser: argparse.ArgumentParser) -> None:
    """The flag --track."""
    parser.add_argument("--track", choices=track.KINDS, help="also log each run's curves there")


def timed_parser(description: str | None, seconds: int, tune: bool = True, picture: bool = True) -> Parser:
    """The flags of a study that trains several models, `seconds` each by default, with several seeds.

    `tune`: it has recipes to try; `picture`: its report has one, and needs matplotlib.
    """
    parser = Parser(description=description)
    parser.add_argument(
        "--seconds",
        type=whole_number(1),
        metavar="N",
        help=f"of training, for each model and seed (default: {seconds}; quick: 1)",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=whole_number(0),
        metavar="N",
        help="a run of each model for each of them (default: 42 43 44; quick: 42)",
    )
    add_threads(parser)
    parser.add_argument("--quick", action="store_true", help="tiny models for a second each: a test, not a result")
    add_track(parser)
    parser.set_defaults(tune=False)
    if tune:
        parser.add_argument(
            "--tune",
            action="store_true",
            help="try the recipes on a part of the training text instead, one seed each",
        )
    parser.add_argument(
        "--report", action="store_true", help=f"write the log{' and the picture' * picture} under docs/ too"
    )
    parser.set_defaults(default_seconds=seconds, picture=picture)
    return parser


def parse_timed(parser: Parser) -> argparse.Namespace:
    """Read the command line and set the number of threads. Raises UserError if flags do not go together."""
    options = parser.parse_args()
    if options.quick and options.report:
        parser.error("argument --report: not with --quick, whose numbers are not a result")
    options.seconds = options.seconds or (1 if options.quick else options.default_seconds)
    options.seeds = options.seeds or ([42] if options.quick else [42, 43, 44])
    if options.report and options.picture and not options.tune:
        pyplot()  # a missing package is named now, not after half an hour
    torch.set_num_threads(options.threads)
    return options


class Report:
    """Lines for stdout, kept for a log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def machine(self, threads: int, start: float) -> None:
        """The last line: time since `start` (of time.perf_counter) and the machine."""
        self()
        self(f"# {time.perf_counter() - start:.0f} s in all, {threads} of {describe()}")

    def save(self, study: str, name: str, logs: Path = DOCS / "logs") -> None:
        """Write NAME.txt, headed by the command."""
        command = " ".join([f"$ python -m {study}", *sys.argv[1:]])
        (logs / f"{name}.txt").write_text("\n".join([command, *self.lines]) + "\n", encoding="utf-8")


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def draw_runs(axes: Any, seconds: list[float], runs: list, colour: str, label: str, style: str = "o-") -> None:
    """The mean of some runs over the seconds of training, and their range."""
    mean = [statistics.mean(values) for values in zip(*runs, strict=True)]
    low, high = ([pick(values) for values in zip(*runs, strict=True)] for pick in (min, max))
    axes.plot(seconds, mean, style, color=colour, label=label, markersize=4)
    axes.fill_between(seconds, low, high, color=colour, alpha=0.2, linewidth=0)


def package_folder(package: str, extra: str) -> Path:
    """Where a package keeps its files; none of its code is run. Raises UserError as `optional` does."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise missing(package, extra)
    return Path(spec.submodule_search_locations[0])
