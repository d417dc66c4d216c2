"""Record the runs that the README quotes: python -m tools.record task01 task02

Runs each script alone, as a user does, and writes docs/logs/TASK.txt: the command, its stdout, and a line with the
seconds from start to end and the machine. With `--save` the log ends with tools.evaluate's table of the run. With
`--seeds 1 2 3` a run for each. A study is named as a module, record.speedrun. Flags for the script come last, after
`--`.
"""

import itertools
import subprocess
import sys
import time
from pathlib import Path

from common.machine import describe
from common.parser import Parser, whole_number
from common.run import UserError, progress, run
from tools.evaluate import table

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "logs"


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("tasks", nargs="+", metavar="TASK", help="a script's name, as task01")
    each = "a run and a log for each of them: docs/logs/TASK_seedN.txt"
    parser.add_argument("--seeds", nargs="+", type=whole_number(0), default=[None], metavar="N", help=each)
    parser.add_argument("--save", type=Path, metavar="DIR", help="a checkpoint of each run, DIR/TASK_seedN.pt")
    parser.add_argument("--name", metavar="NAME", help="of the log, instead of TASK")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options = parser.parse_args(sys.argv[1:end])
    for task in options.tasks:
        if not (ROOT / f"{task.replace('.', '/')}.py").exists():
            raise UserError(f"there is no {task}.py")
    for task, seed in itertools.product(options.tasks, options.seeds):
        name = options.name or task.rpartition(".")[2]
        name += "" if seed is None else f"_seed{seed}"
        flags = sys.argv[end + 1 :] + ([] if seed is None else ["--seed", str(seed)])
        flags += ["--save", f"{options.save}/{name}.pt"] if options.save else []
        folder = ROOT / "record" / "logs" if task.startswith("record.") else LOGS
        record(task, flags, folder / f"{name}.txt")
        if options.save:
            with (folder / f"{name}.txt").open("a", encoding="utf-8") as log:
                log.write(f"\n$ python -m tools.evaluate {flags[-1]}\n{table(Path(flags[-1]))}\n")


def record(task: str, flags: list[str], path: Path) -> None:
    """Run a script and write its log. Ends this process with the script's exit code if that is not 0."""
    progress.where = f"while {path.stem} ran"
    command = [*(["-m", task] if "." in task else [f"{task}.py"]), *flags]
    start = time.perf_counter()
    result = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    if result.returncode:
        sys.exit(result.returncode)
    text = f"$ python {' '.join(command)}\n{result.stdout}\n# {seconds:.0f} s from start to end on {describe()}\n"
    path.write_text(text, encoding="utf-8")
    print(f"{path.stem}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    run(main)
