"""Which changes help? python -m variants.summary --from DIR

Reads the files that variants.measure wrote, and writes docs/logs/variants.txt and the tables of docs/variants.md. A
cell is empty where a run is missing; variants.measure, given the same folder, makes the runs that are missing.
"""

import json
import math
import re
import statistics
from pathlib import Path

from common.parser import Parser, path
from common.run import UserError, run
from studies.report import markdown, spread
from tools import tables
from variants.measure import RUNS, SIZES, STEPS

SEEDS = (42, 43, 44)
LOG = tables.LOGS / "variants.txt"
PAGE = tables.ROOT / "docs" / "variants.md"
HELPERS = ("learned_positions", "longer", "wider", "convolutions_shorter")  # not changes
HEAD = ["change", "loss", "minus task 9's", "at equal seconds"]
HEAD += ["ms a step", "parameters", "cache, KB", "next to the loss", ""]


class Size:
    """The runs of one size."""

    def __init__(self, folder: Path, size: str):
        files = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob(f"{size}-*.json"))]
        self.size = size
        self.runs = {(each["name"], each["seed"]): each for each in files if "name" in each}
        self.timed: dict = next((each for each in files if "name" not in each), {})
        self.seconds: dict[str, float] = self.timed.get("seconds", {})

    def of(self, name: str, key: str = "loss") -> list:
        """A value of each seed's run."""
        return [self.runs[name, seed][key] for seed in SEEDS if (name, seed) in self.runs]

    def differences(self, name: str, other: str = "task09") -> list[float]:
        """The losses less those of another run with the same seed."""
        both = [seed for seed in SEEDS if (name, seed) in self.runs and (other, seed) in self.runs]
        return [self.runs[name, seed]["loss"] - self.runs[other, seed]["loss"] for seed in both]

    def slope(self, other: str, log_ratio: float) -> float | None:
        """By how much task 9's loss falls as the logarithm of its steps or parameters grows by 1."""
        found = self.differences(other)
        return statistics.mean(found) / log_ratio if found else None

    def at_equal_seconds(self, name: str) -> str:
        """The loss of as many steps as take task 9's seconds, by what more steps are worth in task 9."""
        slope = self.slope("longer", math.log(RUNS["longer"].steps))
        if slope is None or not self.of(name) or not {"task09", name} <= self.seconds.keys():
            return ""
        change = slope * math.log(self.seconds["task09"] / self.seconds[name])
        return spread([loss + change for loss in self.of(name)])


def verdict(differences: list[float]) -> str:
    """Whether a change helps beyond twice the spread of its difference to task 9."""
    if len(differences) < 2:
        return "one seed" if differences else "not measured"
    mean, deviation = statistics.mean(differences), statistics.stdev(differences)
    said = "within the spread" if abs(mean) <= 2 * deviation else "helps" if mean < 0 else "does not help: worse"
    return said + f" ({len(differences)} seeds)" * (len(differences) < len(SEEDS))


def next_to(size: Size, name: str) -> str:
    """What a change is made for, next to task 9."""

    def mean(key: str, of: str = name) -> float:
        found = size.of(of, key)
        return statistics.mean(found) if found else math.nan

    def both(key: str, form: str) -> str:
        return f"{mean(key):{form}}, task 9 {mean(key, 'task09'):{form}}"

    if not (size.of(name) and size.of("task09")):
        return ""
    match name:
        case "qk_norm":
            return f"largest score {both('largest_score', '.1f')}"
        case "grouped_queries":
            ours, theirs = (mean("cache", of) / 256 for of in (name, "task09"))
            return f"{ours:,.0f} bytes of cache a character, task 9 {theirs:,.0f}"
        case "sliding_window":
            last = [statistics.mean(each[3] for each in size.of(of, "quarters")) for of in (name, "task09")]
            return f"loss of each block's last quarter {last[0]:.4f}, task 9 {last[1]:.4f}"
        case "gate":
            return f"weight on the first position {both('first_weight', '.3f')}"
        case "value_residual":
            slope = size.slope("wider", math.log(mean("parameters", "wider") / mean("parameters", "task09")))
            if slope:
                wanted = mean("parameters", "task09") * math.exp(statistics.mean(size.differences(name)) / slope)
                return f"task 9 would need about {wanted / 1e6:.2g} million parameters for this loss"
        case "convolutions":
            shorter = mean("loss", "convolutions_shorter")
            each = (shorter - mean("loss")) / math.log(RUNS["convolutions_shorter"].steps)
            wanted = STEPS * math.exp((mean("loss", "task09") - mean("loss")) / each)
            return f"task 9's loss after about {wanted:.0f} steps; after {0.7 * STEPS:.0f}: {shorter:.4f}"
        case "alibi":
            return f"past the trained length {both('beyond', '.4f')}, learned positions: none"
    return ""


def row(size: Size, name: str) -> list[str]:
    """A line of the table."""
    found, change = size.of(name), size.differences(name)
    cells = [name, spread(found) if found else ""]
    cells += [spread(change) if change and name != "task09" else "", size.at_equal_seconds(name)]
    cells += [f"{1000 * size.seconds[name]:.0f}" if name in size.seconds else ""]
    for key, part in (("parameters", 1), ("cache", 1024)):
        cells.append(f"{size.of(name, key)[0] // part:,}" if found else "")
    text = next_to(size, name)
    return [*cells, "" if "nan" in text else text, "" if name == "task09" else verdict(change)]


def report(size: Size) -> list[str]:
    """The table of a size, what helps and what does not."""
    names = [name for name in RUNS if name not in HELPERS]
    lines = [f"## {size.size}", "", *markdown(HEAD, *(row(size, name) for name in names)).splitlines(), ""]
    said: dict[str, list[str]] = {}
    for name in names[1:]:
        said.setdefault(verdict(size.differences(name)), []).append(name)
    return [*lines, *(f"{what}: {', '.join(which)}" for what, which in said.items()), ""]


def main() -> None:
    parser = Parser(prog="python -m variants.summary", description=__doc__)
    parser.add_argument("--from", dest="folder", type=path, required=True, metavar="DIR", help="of variants.measure")
    folder = parser.parse_args().folder
    sizes = [Size(folder, name) for name in SIZES]
    if not any(size.runs for size in sizes):
        raise UserError(f"{folder}: no runs of variants.measure")
    lines = ["$ python -m variants.measure --into DIR; python -m variants.summary --from DIR", ""]
    for size in sizes:
        lines += report(size)
    first = next(run for size in sizes for run in size.runs.values())
    lines += [f"The recipe: {json.dumps({k: v for k, v in first['config'].items() if k not in SIZES['small']})}", ""]
    for each in (found for size in sizes for found in size.runs.values()):
        own = json.dumps({key: value for key, value in each.items() if key != "config"})
        lines.append(re.sub(r"(\d\.\d{5})\d+", r"\1", own))
    lines += [json.dumps(each.timed) for each in sizes if each.timed]
    LOG.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if PAGE.exists():
        PAGE.write_text(tables.current(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{LOG.relative_to(tables.ROOT)}: {sum(len(size.runs) for size in sizes)} runs")


if __name__ == "__main__":
    run(main)
