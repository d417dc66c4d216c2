"""Every number in the README's tables comes from a committed log."""

import re
import statistics
from importlib import import_module

import pytest

from studies import growth
from tests.lessons import CORE, DOCUMENTED, ROOT, parse_log

README = (ROOT / "README.md").read_text(encoding="utf-8")
LOGS = ROOT / "docs" / "logs"
ROW = re.compile(r"^\| (\d) \| .+ \| `python (\w+)\.py` \| ([\d.]+) \| ([\d.]+) \| (\d+) \|$", re.MULTILINE)


def test_there_is_a_row_for_each_script():
    assert [name for _, name, *_ in ROW.findall(README)] == CORE


@pytest.mark.parametrize("row", ROW.findall(README), ids=lambda row: row[1])
def test_a_row_says_what_its_log_says(row):
    number, name, documented, measured, seconds = row
    assert name.startswith(f"task{int(number):02}")
    recorded = (LOGS / f"{name}.txt").read_text(encoding="utf-8")
    command, rest = recorded.split("\n", 1)
    assert command == f"$ python {name}.py"
    assert float(documented) == DOCUMENTED[name][-1][2]
    assert float(measured) == parse_log(rest)[-1][2]
    assert f"\n# {seconds} s from start to end on 2 cores, x86_64" in recorded
    assert f"after about {seconds} seconds on one core" in (ROOT / f"{name}.py").read_text()


def test_the_benchmark_rows_are_those_of_its_log():
    log = (LOGS / "benchmark.txt").read_text(encoding="utf-8")
    rows = re.findall(r"│ +(\d) │ +[\d.]+ │ +[\d.]+ │ +([\d.]+) │ +[\d.]+ │ +(\d+) │", log)
    assert "| task | " + " | ".join(row[0] for row in rows) + " |" in README
    assert "| times as fast as plain | " + " | ".join(row[1] for row in rows) + " |" in README
    assert "| peak memory, MB | " + " | ".join(row[2] for row in rows) + " |" in README


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("task07", "python task07.py"),
        ("task09_rope", "python task09_rope.py"),
        ("speedrun_laptop", "python -m studies.speedrun"),
        ("speedrun_best", "python -m studies.speedrun --preset best"),
    ],
)
def test_the_rows_of_several_seeds_are_their_logs(name, command):
    logs = [path.read_text(encoding="utf-8") for path in sorted(LOGS.glob(f"{name}_seed*.txt"))]
    assert logs
    for log, seed in zip(logs, (42, 43, 44), strict=False):
        assert log.startswith(f"$ {command} --seed {seed}")
    columns = [r"^Final val loss: ([\d.]+) on the whole split", r"^Final val loss: .* \| ([\d.]+) over random batches"]
    if "speedrun" in name:
        columns.append(r"^Each alone: the GPT ([\d.]+)")
    cells = []
    for column in columns:
        losses = [float(re.search(column, log, re.M)[1]) for log in logs]
        spread = f" ± {statistics.stdev(losses):.4f}" if len(losses) > 1 else ""
        cells.append(f"{statistics.mean(losses):.4f}{spread}")
    assert f"| `{command}` | {' | '.join(cells)} |" in README
    if "speedrun" in name:
        seconds = [int(re.search(r"^# (\d+) s from start to end on 2 cores", log, re.M)[1]) for log in logs]
        minutes = float(re.search(rf"^.*`{command}`.* \| ([\d.]+) \|$", README, re.M)[1])
        assert minutes == pytest.approx(statistics.mean(seconds) / 60, rel=0.05)


@pytest.mark.parametrize(
    ("module", "preset", "log"),
    [
        ("task07", "laptop", "task07"),
        ("task09_rope", "laptop", "task09_rope"),
        ("studies.speedrun", "laptop", "speedrun_laptop"),
        ("studies.speedrun", "best", "speedrun_best"),
    ],
)
def test_the_presets_run_the_epochs_of_their_logs(module, preset, log):
    last = import_module(module).PRESETS[preset].epochs - 1
    assert f"\nEpoch {last}: " in (LOGS / f"{log}_seed42.txt").read_text(encoding="utf-8")


def test_the_shorter_speedrun_is_its_log():
    log = (LOGS / "speedrun_320_epochs.txt").read_text(encoding="utf-8")
    losses = [float(loss) for loss in re.findall(r"^Final val loss: ([\d.]+) on the whole split", log, re.M)]
    assert len(losses) == 3
    assert f"{statistics.mean(losses):.4f} ± {statistics.stdev(losses):.4f}" in README


def test_the_numbers_of_generation_and_gain_are_those_of_their_logs():
    generation = (LOGS / "generation.txt").read_text(encoding="utf-8")
    cached = re.search(r"^task 8: +(\d+) characters/s", generation, re.M)[1]
    gained = re.search(r"^uncached, 2 threads: .* ([\d.]+) ×$", generation, re.M)[1]
    assert f"{cached} characters a second" in README and f"{gained} times as many" in README
    for log in ("gain.txt", "gain_speedrun.txt"):
        gain = re.search(r"^mean: (\d+) times", (LOGS / log).read_text(encoding="utf-8"), re.M)[1]
        assert f"{gain} times as long" in README
    counted = re.search(r"^7 characters before: val ([\d.]+)", (LOGS / "counts.txt").read_text(encoding="utf-8"), re.M)[
        1
    ]
    assert f"reaches {counted} nats per character by itself" in README


def test_the_answers_quote_their_log():
    log = (LOGS / "questions.txt").read_text(encoding="utf-8")
    answers = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*\|$", answers, re.M)
    assert len(rows) > 20 and set(rows) <= set(log.splitlines())
    no_measurement = r"^\|.*\|$|arXiv\s[\d.]+\d|`.*?`|\]\(.*?\)|[Tt]ask\s\d|block\s\d"
    prose = re.sub(no_measurement, "", answers, flags=re.M)
    number = re.compile(r"\d[\d,.]*(?:e-\d+)?(?<![,.])")
    assert set(number.findall(prose)) <= set(number.findall(log))


@pytest.mark.parametrize("name", ["lstm", "words", "step", "ablation"])
def test_the_numbers_of_a_study_are_those_of_its_log(name):
    studies = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    section = next(part for part in studies.split("\n## ") if f"python -m studies.{name}" in part)
    log = (LOGS / f"{name}.txt").read_text(encoding="utf-8")
    numbers = re.findall(r"[+-]?\d[\d,.]* ± [\d.]*\d|\d+(?= ms)|\d+(?=%)", section)
    assert len(numbers) >= 3
    for number in numbers:
        assert number in log, number


def test_the_table_of_ideas_is_that_of_the_ablation():
    studies = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    log = (LOGS / "ablation.txt").read_text(encoding="utf-8")
    variants = {
        "short windows": "without short_windows",
        "queries and keys": "without qk_norm",
        "ReLU²": "without squared_relu",
        "branches": "without zero_outputs",
        "Muon": "AdamW, no Muon",
    }
    for idea, variant in variants.items():
        averaged, alone = re.search(rf"^{variant} .*?([+-]\S+ ± \S+) .*([+-]\S+ ± \S+) ", log, re.M).groups()
        assert re.search(rf"^\| {idea}.* \| {re.escape(averaged)} \| {re.escape(alone)} \|$", studies, re.M), idea


def test_the_comparison_in_equal_time_is_that_of_its_log():
    studies = " ".join((ROOT / "docs" / "studies.md").read_text(encoding="utf-8").split())
    (mean,) = re.findall(r"^mean: .*$", (LOGS / "recipe.txt").read_text(encoding="utf-8"), re.M)
    numbers = re.findall(r"[\d.]+ ± [\d.]*\d", mean)
    assert len(numbers) == 4 and all(number in studies for number in numbers)


def test_the_table_of_growth_is_its_log():
    studies = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    rows = growth.ROW.findall((LOGS / "growth.txt").read_text(encoding="utf-8"))
    assert len(rows) == 15
    for size in growth.SIZES:
        millions, *quantities = zip(*(cells for name, *cells in rows if name == size), strict=True)
        assert millions == ("1", "2", "4", "8", "16")
        for quantity, cells in zip(("seconds", "averaged", "alone"), quantities, strict=True):
            assert f"| {size}, {quantity} | {' | '.join(cells)} |" in studies
