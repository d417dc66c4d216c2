"""Which property does my code violate? python -m check task03 my_task03.py

Looks at one property after the other, in an order in which a failure has one suspect, and stops at the
first that does not hold (`--all` goes on). Exit code 0: all hold; 1: one does not; 2: not started, or bad
input. `--hint 1`, 2 and 3 say more and more about the task. For teachers: `--json`, and
`--all-tasks DIR`, which checks each file of a folder whose name holds a task's or piece's.
"""

from common.exits import UserError, end_cleanly

end_cleanly(__name__)

import argparse
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

from common.exits import is_terminal
from common.parser import Parser
from exercises.hints import HINTS

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 20  # that a stage may take
START_SECONDS = 60  # until PyTorch is there
CODES = {"pass": 0, "fail": 1, "not started": 2}


def main():
    parser = Parser(prog="python -m check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", help=", ".join(HINTS))
    parser.add_argument("file", nargs="?", type=Path, help="your file")
    parser.add_argument("--all", action="store_true", help="go on after a failure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--hint", type=int, choices=(1, 2, 3), help="a hint for the task: a nudge, more, the formula")
    parser.add_argument("--all-tasks", type=Path, metavar="DIR", help="check a folder of files, a line each")
    parser.add_argument("--official", action="store_true", help="accept the repository's own file, to try the check")
    options = parser.parse_args()
    if options.all_tasks:
        sys.exit(check_folder(options))
    task = "task09_rope" if options.task == "task09" else options.task
    if task not in HINTS:
        raise UserError(f"expected a task or piece, {', '.join(HINTS)}, got {options.task!r}")
    if options.hint:
        print(HINTS[task][options.hint - 1])
        return
    if options.file is None:
        raise UserError("expected your file after the task (see --help)")
    results = []
    coming = (results.append(result) or result for result in run(task, options.file, options.all, options.official))
    if options.json:
        list(coming)
        print(json.dumps({"task": task, "file": str(options.file), "status": verdict(results), "stages": results}))
    else:
        show(coming)
        print(summary(task, results))
    sys.exit(CODES[verdict(results)])


def run(task, path, everything=False, official_too=False):
    """Yield each stage's result, a dict of `stage`, `status` (pass, skip, fail, not started) and what it found."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    flags = [str(int(everything)), str(int(official_too))]
    command = [sys.executable, "-m", "check.worker", task, str(path.resolve()), *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as worker:
        lines = queue.Queue()
        threading.Thread(target=_read, args=(worker.stdout, lines), daemon=True).start()
        stage = "identity"
        seconds = START_SECONDS
        while True:
            try:
                line = lines.get(timeout=seconds)
                got = "" if line else f"the program ended itself, with code {worker.wait()}"
            except queue.Empty:
                got = f"nothing after {seconds} seconds"
            if got:
                worker.kill()
                yield {"stage": stage, "status": "fail", "what": "the code comes to an end and returns",
                       "expected": "an answer", "got": got,
                       "hint": "Which loop does not end, or what ends the whole program?"}  # fmt: skip
                return
            result = json.loads(line)
            if result.get("done"):
                return
            stage, seconds = result["stage"], SECONDS
            if "status" in result:
                yield result


def _read(stream, lines):
    """Put each line of a stream into a queue as it comes, and an empty one at its end."""
    for line in stream:
        lines.put(line)
    lines.put("")


def show(results):
    """Each stage as it comes: a row of a table on a terminal, else a line; a failure with all it says."""
    if not is_terminal(sys.stdout):
        for result in results:
            print(f"{result['status']:11} {result['stage']:11} {told(result, 12 * ' ')}", flush=True)
        return
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    table = Table("", "property", "found", show_lines=False)
    with Live(table, auto_refresh=False) as live:
        for result in results:
            mark, colour = MARKS[result["status"]]
            table.add_row(Text(mark, colour), Text(result["stage"], colour), Text(told(result)))
            live.refresh()


MARKS = {"pass": ("✓", "green"), "skip": ("-", "yellow"), "fail": ("✗", "red"), "not started": ("…", "yellow")}


def told(result, indentation=""):
    """What a stage found, in words."""
    if result["status"] != "fail":
        return result["detail"]
    return "\n".join(
        [result["what"]] + [f"{indentation}{label + ':':9} {result[label]}" for label in ("expected", "got", "hint")]
    )


def verdict(results):
    """fail if any failed, else not started if any was not, else pass."""
    found = {result["status"] for result in results}
    return next((status for status in ("fail", "not started") if status in found), "pass")


def summary(task, results):
    """The last line."""
    if verdict(results) == "pass":
        return f"{task}: all properties hold."
    if verdict(results) == "not started":
        return f"{task}: not started. python -m check {task} --hint 1 gives a nudge."
    return f"{task}: fails at {', '.join(result['stage'] for result in results if result['status'] == 'fail')}."


def check_folder(options):
    """A line for each file; the worst exit code."""
    if not options.all_tasks.is_dir():
        raise UserError(f"{options.all_tasks}: no such folder")
    reports = []
    for path in sorted(options.all_tasks.glob("*.py")):
        task = next((task for task in HINTS if task.removesuffix("_rope") in path.name), None)
        if task:
            results = list(run(task, path, options.all, options.official))
            reports.append({"task": task, "file": str(path), "status": verdict(results), "stages": results})
            if not options.json:
                failed = next((f"{r['stage']}: {r['what']}" for r in results if r["status"] == "fail"), "")
                print(f"{path.name:24} {verdict(results):12} {failed}".rstrip(), flush=True)
    if not reports:
        raise UserError(f"{options.all_tasks}: no file there has a task's or piece's name, as my_task03.py")
    if options.json:
        print(json.dumps(reports))
    return CODES[verdict(reports)]


if __name__ == "__main__":
    main()
