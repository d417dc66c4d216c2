"""Every number in the README's tables comes from a committed log."""

import re

import pytest

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
