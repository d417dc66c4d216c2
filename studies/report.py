"""How the studies report: flags, lines for the log, curves, and packages that only some of them need."""

import argparse
import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from common import track
from common.extras import missing, pyplot
from common.machine import describe
from common.parser import MOST_SEED, Parser, whole_number

import torch

DOCS = Path(__file__).resolve().parent.parent / "docs"
RECORD = DOCS.parent / "record"


def add_number(parser: argparse.ArgumentParser, flag: str, default: int, what: str = "", least: int = 1) -> None:
    """A flag with a whole number from `least` on."""
    said = f"{what} (default: %(default)s)".strip()
    parser.add_argument(flag, type=whole_number(least), default=default, metavar="N", help=said)


def add_threads(parser: argparse.ArgumentParser, default: int | None = None) -> None:
    """The flag --threads."""
    most, said = whole_number(1, os.cpu_count() or 1), "processor threads (default: %(default)s)"
    parser.add_argument("--threads", type=most, default=default or torch.get_num_threads(), metavar="N", help=said)


def add_seed(parser: argparse.ArgumentParser, default: int = 42) -> None:
    """The flag --seed."""
    seed, said = whole_number(0, MOST_SEED), "(default: %(default)s)"
    parser.add_argument("--seed", type=seed, default=default, metavar="N", help=said)


def add_seeds(parser: argparse.ArgumentParser, *default: int) -> None:
    """The flag --seeds."""
    said = f"(default: {' '.join(map(str, default))})"
    parser.add_argument("--seeds", nargs="+", type=whole_number(0), default=list(default), metavar="N", help=said)


def add_track(parser: argparse.ArgumentParser) -> None:
    """The flag --track."""
    parser.add_argument("--track", choices=track.KINDS, help="also log each run's curves there")


def timed_parser(description: str | None, seconds: int, picture: bool = True) -> Parser:
    """The flags of a study that trains several models, `seconds` each by default, with several seeds.

    `picture`: its report has one, and needs matplotlib.
    """
    parser = Parser(description=description)
    said = f"of training, for each model and seed (default: {seconds}; quick: 1)"
    parser.add_argument("--seconds", type=whole_number(1), metavar="N", help=said)
    said = "a run of each model for each of them (default: 42 43 44; quick: 42)"
    parser.add_argument("--seeds", nargs="+", type=whole_number(0), metavar="N", help=said)
    add_threads(parser)
    parser.add_argument("--quick", action="store_true", help="tiny models for a second each: a test, not a result")
    said = f"write the log{' and the picture' * picture} under docs/ too"
    parser.add_argument("--report", action="store_true", help=said)
    parser.set_defaults(default_seconds=seconds, picture=picture)
    return parser


def parse_timed(parser: Parser) -> argparse.Namespace:
    """Read the command line and set the number of threads. Raises UserError if flags do not go together."""
    options = parser.parse_args()
    if options.quick and options.report:
        parser.error("argument --report: not with --quick, whose numbers are not a result")
    options.seconds = options.seconds or (1 if options.quick else options.default_seconds)
    options.seeds = options.seeds or ([42] if options.quick else [42, 43, 44])
    if options.report and options.picture:
        pyplot()  # a missing package is named now, not after half an hour
    torch.set_num_threads(options.threads)
    return options


class Report:
    """Lines for stdout, kept for a log."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.start = time.perf_counter()

    def __call__(self, line: str = "") -> None:
        print(line, flush=True)
        self.lines.append(line)

    def end(self, study: str, options: argparse.Namespace) -> None:
        """The last line: the seconds in all and the machine. With --report, write the log, headed by the command."""
        self()
        self(f"# {time.perf_counter() - self.start:.0f} s in all, {options.threads} of {describe()}")
        if options.report:
            command = " ".join([f"$ python -m {study}", *sys.argv[1:]])
            room, _, name = study.partition(".")
            log = (RECORD if room == "record" else DOCS) / "logs" / f"{name}.txt"
            log.write_text("\n".join([command, *self.lines]) + "\n", encoding="utf-8")


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± standard deviation."""
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation}"


def markdown(*rows: Sequence[str]) -> str:
    """Rows of cells, the first of them the header."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *rest]) + "\n"


def plot_runs(name: str, seconds: int, ylabel: str, lines: Sequence[tuple], goal: float | None = None) -> None:
    """docs/images/NAME.png: the mean of some runs over the seconds of training, and their range.

    A line is its label, its colour, its style and its runs, each of losses at even distances.
    """
    figure, axes = pyplot().subplots(figsize=(8, 5), layout="constrained")
    for label, colour, style, runs in lines:
        columns = list(zip(*runs, strict=True))
        times = [seconds * part / len(columns) for part in range(1, len(columns) + 1)]
        axes.plot(times, [*map(statistics.mean, columns)], style, color=colour, label=label, markersize=4)
        axes.fill_between(times, [*map(min, columns)], [*map(max, columns)], color=colour, alpha=0.2, linewidth=0)
    if goal is not None:
        axes.axhline(goal, color="0.5", linestyle=":", linewidth=1)
    axes.set(xlabel="training time (seconds)", ylabel=ylabel)
    axes.legend(title=f"mean and range of {len(lines[0][-1])} seeds")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(DOCS / "images" / f"{name}.png", dpi=110)


def package_folder(package: str, extra: str) -> Path:
    """Where a package keeps its files; none of its code is run. Raises UserError as `optional` does."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise missing(package, extra)
    return Path(spec.submodule_search_locations[0])
