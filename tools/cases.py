"""Does every right file pass? python -m tools.cases

Checks the files of tests/cases/right, written in the styles of well-known code bases by authors who did not read the
check: tests/cases/right/README.md and PIECES.md. `--seeds N` checks each with N draws of the check's numbers. Prints a
line for each file that does not pass, and a table: style, files, checks, how many did not pass.
"""

import sys
from collections import Counter
from pathlib import Path

from benchmarks.machine import describe
from check.names import task_of
from check.result import Result
from check.run import check
from check.zygote import Zygote
from common.parser import Parser, whole_number
from common.run import progress, run

RIGHT = Path(__file__).resolve().parent.parent / "tests" / "cases" / "right"


def files(words: list[str]) -> list[Path]:
    """The right files, or those whose path holds one of the words."""
    found = sorted(RIGHT.glob("*/*.py"))
    return [path for path in found if not words or any(word in str(path.relative_to(RIGHT)) for word in words)]


def first_failure(path: Path, seed: int, zygote: Zygote) -> Result | None:
    """The first stage that does not hold, or None."""
    results = check(str(task_of(path)), path, seed=seed, zygote=zygote)
    return next((result for result in results if result.status != "pass"), None)


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="of the paths: a style, a task (default: all)")
    parser.add_argument("--seeds", type=whole_number(1), default=1, metavar="N", help="(default: %(default)s)")
    options = parser.parse_args()
    checked: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    found = files(options.words)
    with Zygote() as zygote:
        for seed in range(options.seeds):
            for path in found:
                name = path.relative_to(RIGHT)
                progress.where = f"with seed {seed}, at {name}"
                wrong = first_failure(path, seed, zygote)
                checked[name.parts[0]] += 1
                if wrong:
                    failed[name.parts[0]] += 1
                    said = f"{wrong.what}: {wrong.got}" if wrong.what else wrong.detail
                    print(f"{name}, seed {seed}: {wrong.status} at {wrong.stage}: {said}", flush=True)
    print("\n| style | files | checks | not passed |\n|---|---|---|---|")
    for style, count in checked.items():
        print(f"| {style} | {count // options.seeds} | {count} | {failed[style]} |")
    print(f"\n{checked.total()} checks of {len(found)} files, {failed.total()} did not pass")
    print(f"# {options.seeds} seeds, one of {describe()}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    run(main)
