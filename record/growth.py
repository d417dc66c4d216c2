"""What do more text and a larger model buy, and at what price? python -m record.growth small medium large

For the GPT of the preset laptop (medium), and for half and twice its width: the validation loss (whole split, nats per
character) and the seconds of training for budgets of 0.25 to 4 million characters. The text has a million characters,
so longer runs read it again. Therefore there is a little dropout, although it makes the small budgets worse. Windows
are always 256 long. Budgets share work: one run goes on at the full learning rate, and for each budget a copy branches
off at 70% of it and cools down to zero (https://arxiv.org/abs/2405.18392). A budget's seconds are those of the shared
run up to its branch and of the branch, evaluation not counted.

Prints a row for each budget. Collect the rows of several runs in logs/growth.txt; `--plot` draws growth.png from
them. Each size takes long, so run them one by one (`--millions 1 2` is a short test).
"""

import copy
import dataclasses
import itertools
import re
import statistics
from collections.abc import Iterator

from common.data import Corpus
from common.evaluate import score_split
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser, number
from common.run import UserError, progress, run
from record import speedrun
from studies import setup
from studies.report import RECORD, add_seeds, add_threads, pyplot

import torch

SIZES = {
    "small": {"n_embd": 64, "n_head": 1},
    "medium": {"n_embd": 128, "n_head": 2},
    "large": {"n_embd": 256, "n_head": 4},
}
COLOURS = {"small": "#0072B2", "medium": "#D55E00", "large": "#009E73"}  # told apart by colour-blind eyes
TICKS = [4, 8, 15, 30, 60, 120, 240]  # of the picture, in seconds
FALL = 0.3  # of a budget
DROPOUT = 0.05
ROW = re.compile(r"^(\w+) +seed \d+ +[\d,]+ parameters +([\d.]+)M characters +([\d.]+) s +val ([\d.]+)", re.MULTILINE)


def grow(size: str, changes: dict, corpus: Corpus, millions: list[float], seed: int) -> Iterator[tuple]:
    """Yield parameters, millions of characters, seconds, validation and training loss for each budget, in order."""
    config = setup.preset(speedrun, first_window=0, dropout=DROPOUT, **changes)
    budgets = {m: max(1, round(m * 1e6 / (config.batch_size * config.block_size))) for m in millions}  # steps
    rise = config.warmup * config.max_steps  # steps, as many for each budget
    total = 2 * max(budgets.values())
    shared = dataclasses.replace(config, max_steps=total, warmup=rise / total, cooldown=0.0)
    run = setup.build(speedrun.GPT, shared, len(corpus.vocabulary), seed)
    step, seconds = 0, 0.0

    for budget, steps in sorted(budgets.items()):
        progress.where = f"while the {size} model read {budget} million characters"
        branch = steps - round(FALL * steps)
        seconds += sum(setup.step_seconds(run, corpus, range(step, branch)))
        step = branch
        model, optimizers, text = copy.deepcopy((run.model, run.optimizers, corpus))
        falling = dataclasses.replace(config, max_steps=steps, warmup=rise / steps, cooldown=(steps - branch) / steps)
        branched = setup.Run(model, falling, optimizers, run.precision)
        spent = seconds + sum(setup.step_seconds(branched, text, range(branch, steps)))
        with run.precision:
            val, train = (score_split(model, corpus, split) for split in ("val", "train"))
        yield setup.parameters(model), budget, spent, val.nats, train.nats


def plot() -> None:
    """growth.png from the rows of logs/growth.txt."""
    log = RECORD / "logs" / "growth.txt"
    rows = ROW.findall(log.read_text(encoding="utf-8")) if log.exists() else []
    if not rows:
        raise UserError("record/logs/growth.txt: no rows there; put together what python -m record.growth prints")
    figure, axes = pyplot().subplots(figsize=(8, 5), layout="constrained")
    for size, colour in COLOURS.items():
        points: dict[float, list] = {}
        for read, *numbers in (map(float, found) for name, *found in rows if name == size):
            points.setdefault(read, []).append(numbers)
        means = [[statistics.mean(column) for column in zip(*runs, strict=True)] for runs in points.values()]
        seconds, losses = ([each[column] for each in means] for column in (0, 1))
        axes.plot(seconds, losses, "o-", color=colour, label=size, markersize=4)
        for read, place in zip(points, means, strict=True):
            axes.annotate(f"{read:g}M", place, (5, 4), textcoords="offset points", fontsize=8, color=colour)
    axes.set(xscale="log", xticks=TICKS, xticklabels=TICKS, xlabel="training time (seconds, two cores)")
    axes.set_ylabel("loss on the validation split (nats per character)")
    axes.minorticks_off()
    axes.legend(title="model; labels: characters read")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(RECORD / "growth.png", dpi=110)


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("sizes", nargs="*", choices=[*SIZES, []], metavar="SIZE", help=", ".join(SIZES))
    millions, said = [0.25, 0.5, 1, 2, 4], "of characters (default: 0.25 0.5 1 2 4)"
    parser.add_argument("--millions", nargs="+", type=number(0.1, 1000), default=millions, metavar="N", help=said)
    add_seeds(parser, 42)
    add_threads(parser)
    parser.add_argument("--plot", action="store_true", help="draw the picture instead")
    options = parser.parse_args()
    if options.plot:
        return plot()
    torch.set_num_threads(options.threads)
    for size, seed in itertools.product(options.sizes or SIZES, options.seeds):
        torch.manual_seed(seed)
        corpus = speedrun.read(DEFAULT_TEXT, setup.preset(speedrun))
        for count, budget, seconds, val, train in grow(size, SIZES[size], corpus, options.millions, seed):
            read = f"{count:10,} parameters  {budget:4g}M characters  {seconds:6.0f} s"
            print(f"{size:6}  seed {seed}  {read}  val {val:.4f}, train {train:.4f}", flush=True)
    print(f"# {options.threads} of {describe()}")


if __name__ == "__main__":
    run(main)
