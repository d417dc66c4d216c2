"""Check every bug and every correct file, in every style and with several seeds: python -m tools.verdicts

Prints a table of the bugs (the stage that names each, by style) and how many correct files pass. `--seeds 20` repeats
the correct files with that many seeds, `--only TASK` those of some exercises. `--processes` checks the official files
in processes, as for a learner, next to `--busy N` busy ones, and prints the seconds; `--forked` does the same as for
--watch and grade.
"""

import resource
import subprocess
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


def beside_others(busy: int) -> int:
    """Check the official files in processes, next to busy ones; print the seconds; how many did not pass."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    failed = 0
    try:
        print(f"| file, next to {busy} busy processes | processor seconds | seconds | |\n|---|---|---|---|")
        for task in EXERCISES:
            line = [sys.executable, "-m", "check", task, str(build.official_path(task)), "--official"]
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            result = subprocess.run(line, cwd=build.ROOT, capture_output=True, text=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            failed += result.returncode != 0
            said = result.stdout.splitlines()[-1] if result.stdout else result.stderr.strip()
            print(f"| {task} | {seconds:.1f} | {time.perf_counter() - start:.1f} | {said} |", flush=True)
    finally:
        for other in others:
            other.kill()
            other.wait()
    return failed


def forked() -> int:
    """Check the official files as --watch and grade do; print the seconds; how many did not pass."""
    failed = 0
    print(f"{describe()}\n")
    print("| file, from a process that has PyTorch | processor seconds | seconds | |\n|---|---|---|---|")
    with Zygote() as zygote:
        for task in ["task01", *EXERCISES]:  # the first pays for what is imported once
            before, start = _used(zygote), time.perf_counter()
            status = verdict(list(check(task, build.official_path(task), official_too=True, zygote=zygote)))
            failed += status != "pass"
            seconds = time.perf_counter() - start
            print(f"| {task} | {_used(zygote) - before:.1f} | {seconds:.1f} | {status} |", flush=True)
    return failed


def _used(zygote: Zygote) -> float:
    """Processor seconds of this process, of the one that forks and of all that it forked (Linux)."""
    assert zygote.server is not None
    return time.process_time() + usage(zygote.server.pid).work


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--seeds", type=whole_number(1), default=1, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=EXERCISES, default=EXERCISES, metavar="TASK", help="of these")
    parser.add_argument("--processes", action="store_true", help="the official files, in processes")
    parser.add_argument("--busy", type=whole_number(0), default=0, metavar="N", help="busy processes next to them")
    parser.add_argument("--forked", action="store_true", help="the official files, as --watch and grade check them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if options.forked:
        sys.exit(1 if forked() else 0)
    if options.processes:
        sys.exit(1 if beside_others(options.busy) else 0)
    with tempfile.TemporaryDirectory() as name:
        missed = bugs(Path(name), options.only) if options.seeds == 1 else 0
        checked, failed = right_files(Path(name), options.only, options.seeds)
    tried = sum(each.task in options.only for each in MUTANTS) if options.seeds == 1 else "no"
    print(f"\n{tried} bugs tried, {missed} of them passed in some style")
    print(f"{checked} right files checked, {failed} failed")
    sys.exit(1 if missed or failed else 0)


if __name__ == "__main__":
    run(main)
