"""Check every bug and every correct file, in every style and with several seeds: python -m tools.verdicts

Prints a table of the bugs (the stage that names each, by style) and how many correct files pass. `--seeds 20` repeats
the correct files with that many seeds, `--only TASK` those of some exercises. `--forked` checks the official files as
--watch and grade do, and prints the seconds.
"""

import sys
import tempfile
import time
import warnings
from collections.abc import Collection
from pathlib import Path

from check.judge.checking import check, verdict
from check.judge.zygote import Zygote, usage
from common.machine import describe
from common.parser import Parser, whole_number
from common.run import progress, run
from exercises import build
from exercises.catalogue import EXERCISES
from tools.in_process import first_failure
from tools.mutants import MUTANTS
from tools.restylings import RESTYLINGS
from tools.styles import STYLES, in_styles

import torch


def bugs(folder: Path, tasks: Collection[str]) -> int:
    """Print the table of bugs; how many passed in some style."""
    print(f"| file | bug | {' | '.join(STYLES)} |\n|---|---|{'---|' * len(STYLES)}")
    missed = 0
    for mutant in (each for each in MUTANTS if each.task in tasks):
        cells = dict.fromkeys(STYLES, "–")
        for style, text in in_styles(mutant.task, mutant.text()).items():
            path = folder / f"my_{mutant.task}.py"
            path.write_text(text, encoding="utf-8")
            found = first_failure(mutant.task, path)
            cells[style] = found.stage if found else "PASSED"
            missed += found is None
        print(f"| {mutant.task} | {mutant.what} | {' | '.join(cells.values())} |", flush=True)
    return missed


def right_files(folder: Path, tasks: Collection[str], seeds: int) -> tuple[int, int]:
    """How many right files of these exercises were checked, and how many failed.

    With seed 0 in every style, with others as they are.
    """
    checked = failed = 0
    files = [(task, "official", build.source(task)) for task in tasks]
    files += [(each.task, each.what, each.text()) for each in RESTYLINGS if each.task in tasks]
    for seed in range(seeds):
        progress.where = f"with seed {seed}"
        for task, what, source in files:
            for style, text in (in_styles(task, source) if seed == 0 else {"official": source}).items():
                path = folder / f"my_{task}.py"
                path.write_text(text, encoding="utf-8")
                found = first_failure(task, path, seed)
                checked += 1
                if found:
                    failed += 1
                    print(f"FAILED: {task}, {what}, {style}, seed {seed}: {found.stage}: {found.what}: {found.got}")
    return checked, failed


def forked() -> int:
    """Check the official files as --watch and grade do; print the seconds; how many did not pass."""
    failed = 0
    print(f"{describe()}\n")
    print("| file, from a process that has PyTorch | processor seconds | seconds | |\n|---|---|---|---|")
    with Zygote() as zygote:

        def used() -> float:
            """Processor seconds of this process, of the one that forks and of all that it forked (Linux)."""
            assert zygote.server is not None
            return time.process_time() + usage(zygote.server.pid).work

        for task in ["task01", *EXERCISES]:  # the first pays for what is imported once
            before, start = used(), time.perf_counter()
            status = verdict(list(check(task, EXERCISES[task].official, official_too=True, zygote=zygote)))
            failed += status != "pass"
            seconds = time.perf_counter() - start
            print(f"| {task} | {used() - before:.1f} | {seconds:.1f} | {status} |", flush=True)
    return failed


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--seeds", type=whole_number(1), default=1, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=EXERCISES, default=EXERCISES, metavar="TASK", help="of these")
    parser.add_argument("--forked", action="store_true", help="the official files, as --watch and grade check them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.forked:
        sys.exit(1 if forked() else 0)
    with tempfile.TemporaryDirectory() as name:
        missed = bugs(Path(name), options.only) if options.seeds == 1 else 0
        checked, failed = right_files(Path(name), options.only, options.seeds)
    tried = sum(each.task in options.only for each in MUTANTS) if options.seeds == 1 else "no"
    print(f"\n{tried} bugs tried, {missed} of them passed in some style")
    print(f"{checked} right files checked, {failed} failed")
    sys.exit(1 if missed or failed else 0)


if __name__ == "__main__":
    run(main)
