"""Write the tables of README.md and docs/ from the committed logs: python -m tools.tables

A table is between `<!-- table: NAME -->` and `<!-- end table -->`.
"""

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path

from common.parser import Parser
from common.run import run
from studies.report import markdown, spread

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "logs"
DOCUMENTED = json.loads((LOGS / "documented.json").read_text(encoding="utf-8"))  # step, training, validation loss
PAGES = [ROOT / "README.md", ROOT / "record" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- table: ([\w. ]+) -->\n).*?(<!-- end table -->)", re.DOTALL)
LESSONS = {
    "task01": "one self-attention head",
    "task02": "four heads side by side",
    "task03": "a feed-forward layer",
    "task04": "three blocks",
    "task05": "skip connections and an MLP",
    "task06": "layer normalization before each branch",
    "task07": "dropout and scale; a laptop adds Muon, clipping, warm-up, cooldown, other initial weights, not dropout",
    "task08_infinite": "a cache: endless Shakespeare",
    "task09_rope": "rotary positions",
}
HEAD = ["command", "products in", "seeds", "whole split", "random batches", "minutes"]


def logs(pattern: str) -> list[str]:
    """The logs whose names fit, of the lessons and studies or of the record."""
    found = sorted([*LOGS.glob(pattern), *ROOT.glob(f"record/logs/{pattern}")])
    return [path.read_text(encoding="utf-8") for path in found]


def read(name: str) -> str:
    (log,) = logs(f"{name}.txt")
    return log


def numbers(pattern: str, text: str) -> list[float]:
    return [float(number) for number in re.findall(pattern, text, re.MULTILINE)]


def seeds(name: str) -> list[str]:
    """The logs of a run's seeds."""
    return logs(f"{name}_seed*.txt")


def final(logs: list[str], over: str) -> str:
    """Mean and spread of the last losses, over the whole split or random batches."""
    whole, drawn = r"^Final val loss: ([\d.]+)()", r"([\d.]+) over random|random batches: .*? \| ([\d.]+)"
    found = [re.findall(whole if over == "split" else drawn, log, re.MULTILINE)[0] for log in logs]
    return spread([float("".join(parts)) for parts in found])


def minutes(logs: list[str]) -> str:
    """Mean from start to end, as the logs' last lines say."""
    seconds = numbers(r"^# (\d+) s from start to end", "\n".join(logs))
    return f"{statistics.mean(seconds) / 60:.1f}"


def products(log: str) -> str:
    """In what type a log's machine multiplied, by the speeds in its last line; and without bfloat16, how."""
    machine = re.findall(r"^# \d+ s from start to end on (.*)$", log, re.MULTILINE)[0]
    return "bfloat16" if "bfloat16" in machine else "float32, " + re.findall(r"AVX\w*", machine)[0]


def runs(name: str, command: str) -> list[list[str]]:
    """A command's rows, one for each kind of processor: with bfloat16 instructions, AVX512 or AVX2 without them."""
    kinds: dict[str, list[str]] = {"bfloat16": [], "float32, AVX2": []}
    for log in (*seeds(name), *seeds(f"{name}_avx2")):
        kinds.setdefault(products(log), []).append(log)
    rows = []
    for kind, found in sorted(kinds.items()):
        cells = [str(len(found)), final(found, "split"), final(found, "random"), minutes(found)] if found else []
        steps = re.findall(r"^\$ .*?( --steps \d+)", found[0]) if found else []
        rows.append([f"`{command}{''.join(steps)}`", kind, *(cells or ["not measured", "", "", ""])])
    return rows


def lessons() -> str:
    """The nine lessons."""
    rows = [["script", "idea", "documented val loss", "measured", "time"]]
    for name, idea in LESSONS.items():
        script = f"[{name}.py]({name}.py)"
        if name <= "task06":
            log = read(name)
            measured, seconds = numbers(r"avg val loss ([\d.]+)$", log)[-1], numbers(r"^# (\d+) s", log)[0]
            rows.append([script, idea, f"{DOCUMENTED[name][-1][2]:.4f}", f"{measured:.4f}", f"{seconds:.0f} s"])
        elif name == "task08_infinite":
            rows.append([script, idea, "", "", "at once"])
        else:
            logs = seeds(name)
            best = f"{min(line[2] for line in DOCUMENTED['task07']):.4f}, on a GPU" if name == "task07" else ""
            rows.append([script, idea, best, final(logs, "random"), f"{minutes(logs)} min"])
    return markdown(*rows)


def samples() -> str:
    """Two lines that some lessons wrote, the first of their logs' samples with 25 characters and more."""
    rows = [["task", "what it writes"]]
    for name in ("task01", "task04", "task06", "task09_rope"):
        written = (logs(f"{name}.txt") or seeds(name))[0].partition("trained model: \n")[2].splitlines()
        rows.append([str(int(name[4:6])), "<br>".join([line for line in written if len(line) >= 25][:2])])
    return markdown(*rows)


def large() -> str:
    """Tasks 7 and 9."""
    rows = [*runs("task07", "python task07.py"), *runs("task09_rope", "python task09_rope.py")]
    return markdown(HEAD, *rows, *runs("task07_long", "python task07.py --preset long"))


def pace() -> str:
    """Seconds a step of the presets, today's and the former ones, by processor."""
    rows: dict[tuple[str, ...], list[str]] = {}
    command = r"^\$ (?:.* )?python -m benchmarks\.pace (\w+)(.*)\n.*?([\d.]+) s a step"
    for log, machine in (("pace", "Xeon with AMX"), ("pace_epyc", "EPYC with AVX512_BF16")):
        for task, changes, seconds in re.findall(command, read(log), re.MULTILINE):
            preset = "the former preset" if "=" in changes else "today's"
            rows.setdefault((task, preset, machine), []).append(seconds)
    head = ["preset `laptop` of", "", "processor", "bfloat16", "float32", "float32, AVX2 only"]
    return markdown(head, *([*names, *times] for names, times in rows.items()))


def speed() -> str:
    """Against the lecture style."""
    log = read("benchmark")
    found = re.findall(r"│ +(\d) │ +[\d.]+ │ +[\d.]+ │ +([\d.]+) │ +[\d.]+ │ +(\d+) │", log)
    tasks, ratios, peaks = ([row[i] for row in found] for i in range(3))
    return markdown(["task", *tasks], ["times as fast as plain", *ratios], ["peak memory, MB", *peaks])


def record() -> str:
    """The speedrun."""
    rows = runs("speedrun_laptop", "python -m record.speedrun")
    return markdown(HEAD, *rows, *runs("speedrun_hour", "python -m record.speedrun --preset hour"))


def gain() -> str:
    """How much longer the documented recipe would take."""
    log = read("gain_speedrun")
    hours = re.findall(r"so ([\d.]+) hours to step", log)[0]
    runs = re.findall(r"^speedrun_laptop_seed(\d+): (\d+) s .*, (\d+) times", log, re.M)
    rows = [[f"`laptop`, seed {seed}", f"{seconds} s", ratio] for seed, seconds, ratio in runs]
    return markdown(["run", "time", "times as fast"], ["documented, float32", f"{hours} h", "1"], *rows)


def ablation() -> str:
    """What each idea of the speedrun gains."""
    ideas = {
        "without convolutions": "short convolutions (https://arxiv.org/abs/2512.17351)",
        "without passes": "windows side by side, each once a pass",
        "without short_windows": "short windows first (https://arxiv.org/abs/2108.06084)",
        "without qk_norm": "queries and keys normalized (https://arxiv.org/abs/2010.04245)",
        "without squared_relu": "ReLU² (https://arxiv.org/abs/2109.08668)",
        "without zero_outputs": "branches that begin at zero (https://arxiv.org/abs/1901.09321)",
        "AdamW, no Muon": "Muon (https://arxiv.org/abs/2502.16982)",
    }
    return markdown(
        ["idea", "loss without it minus loss with all"], *([said, off(name)] for name, said in ideas.items())
    )


def unhelpful() -> str:
    """What the speedrun does without."""
    names = re.findall(r"^(\S.*?)  +\S+ ± ", read("ablation"), re.M)
    rest = [name for name in names if not name.startswith(("without", "AdamW", "all"))]
    return markdown(["change", "loss with it minus loss without"], *([name, off(name)] for name in rest))


def off(variant: str) -> str:
    """A row of the ablation: the difference to all ideas."""
    return re.findall(rf"^{re.escape(variant)}  .*?([+-]\S+ ± \S+) ", read("ablation"), re.M)[0]


def growth() -> str:
    """Loss and seconds by size and text read."""
    row = r"^(\w+) +seed \d+ +[\d,]+ parameters +([\d.]+)M characters +([\d.]+) s +val ([\d.]+)"
    found = re.findall(row, read("growth"), re.MULTILINE)
    millions = list(dict.fromkeys(cells[1] for cells in found))
    rows = [["model", *(f"{n}M characters" for n in millions)]]
    for size in ("small", "medium", "large"):
        columns = [[tuple(map(float, cells[2:])) for cells in found if cells[:2] == (size, n)] for n in millions]
        seconds, losses = zip(*(zip(*column, strict=True) for column in columns), strict=True)
        rows.append([f"{size}, seconds", *(f"{statistics.mean(cell):.0f}" for cell in seconds)])
        rows.append([f"{size}, loss", *(spread(cell) for cell in losses)])
    return markdown(*rows)


def lstm() -> str:
    """The LSTM next to tasks 7 and 9."""
    found = re.findall(r"^(LSTM|task \d) +([\d,]+) +[\d.]+M +(\S+ ± \S+) +\S+ ± \S+ +(.*)$", read("lstm"), re.M)
    return markdown(["model", "parameters", "val loss after 60 s", "seconds to 2.0 nats"], *map(list, found))


def words() -> str:
    """Words against characters."""
    log = read("words")
    named, spelled, of_words = re.findall(r"character: +(\S+ ± \S+) named, (\S+ ± \S+) spelled\n.*: +(.*)", log)[0]
    by_name, by_spelling = re.findall(r"(\S+ ± \S+) named, (\S+ ± \S+) spelled", of_words)[0]
    characters, of_characters = re.findall(r"character: +(\S+ ± \S+)\n.*: +(.*)", log)[-1]
    return markdown(
        ["on the held-out plays", "nats per character", "perplexity per word"],
        ["words, unknown ones only named", named, by_name],
        ["words, unknown ones spelled", spelled, by_spelling],
        ["characters", characters, of_characters],
    )


def counts() -> str:
    """How well counting predicts."""
    found = re.findall(r"^(\d) characters before: val ([\d.]+), ([\d.]+) s", read("counts"), re.MULTILINE)
    before, losses, seconds = zip(*found, strict=True)
    return markdown(["characters before", *before], ["val loss", *losses], ["seconds to count", *seconds])


def equal_time() -> str:
    """The usual laptop recipe and the speedrun, in the same seconds."""
    found = re.findall(r"\d\.\d+ ± \d\.\d+", read("recipe").partition("mean:")[2])
    seconds = spread(numbers(r"\) in ([\d.]+) s;", read("recipe")), 0)
    return markdown(
        ["model", "val loss", f"seconds, {seconds}"],
        ["the usual laptop recipe, blocks side by side", found[0], ""],
        ["the same, at least 32 characters before each", found[1], ""],
        ["the speedrun", found[2], ""],
    )


def step() -> str:
    """Where a step's time goes, by processor."""
    first = r"^(\w+), (.*?): +(\d+) ms a step, (\d+%).*\n"
    pattern = first + r".*: (\d+) GFLOP/s in the step, (\d+%) .*; (\d+) in the products, (\d+%)"
    rows = [["core", "sizes", "model", "ms a step", "in matrix products", "GFLOP/s in the step", "of the core's"]]
    rows[0] += ["in the products", "of the core's"]
    for name in ("step", "step_epyc"):
        (core,) = re.findall(r"GEMM on one core: float32 (\d+), bfloat16 (\d+)", read(name))
        rows += [["{} / {}".format(*core), *found] for found in re.findall(pattern, read(name), re.MULTILINE)]
    return markdown(*rows)


def documented() -> str:
    """Task 7's documented run on a GPU, next to the documented lines: training and validation loss."""
    lines = r"^Epoch (\d+): .*?([\d.]+) .*?([\d.]+)$"
    runs = [re.findall(lines, read(f"task07_documented_seed{seed}"), re.MULTILINE) for seed in (42, 43, 44)]
    found = [{int(step): (float(train), float(val)) for step, train, val in run} for run in runs]
    rows = [["Epoch", "documented", "seed 42", "seed 43", "seed 44"]]
    for epoch, *losses in DOCUMENTED["task07"]:
        cells = [losses, *(run[epoch] for run in found)]
        rows.append([str(epoch), *(f"{train:.4f} / {val:.4f}" for train, val in cells)])
    return markdown(*rows)


def grading() -> str:
    """How long a folder of submissions takes."""
    found = re.findall(r"^(alone|next to .*?): (\d+) s, ([\d.]+) s a file", read("grading"), re.M)
    return markdown(["--jobs 2", "seconds in all", "seconds a file"], *map(list, found))


def tables_of(log: str, section: str = "") -> list[str]:
    """The Markdown tables of a log, or of one of its sections."""
    text = read(log)
    if section:
        text = text.split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)


TABLES: dict[str, Callable[[], str]] = {
    each.__name__: each
    for each in (
        lessons, samples, large, pace, speed, record, gain, ablation, unhelpful, growth, lstm, words, counts,
        equal_time, step, documented, grading
    )
}  # fmt: skip


def table(name: str) -> str:
    """The table that a page asks for; those without a function are a log's own."""
    match name.split():
        case ["question", topic, number]:
            return tables_of("questions", topic)[int(number) - 1]
        case ["variants", size]:
            return tables_of("variants", size)[0]
    return TABLES[name]() if name in TABLES else tables_of(name)[0]


def current(page: str) -> str:
    """A page with its tables as the logs have them."""
    return BLOCK.sub(lambda block: block[1] + table(block[2]) + block[3], page)


def main() -> None:
    Parser(description=__doc__).parse_args()
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        if page != current(page):
            path.write_text(current(page), encoding="utf-8")
            print(f"{path.relative_to(ROOT)}: written")


if __name__ == "__main__":
    run(main)
