"""Record the runs that the README quotes: python -m studies.record task01 task02 …

Runs each script alone, as a user does, and writes docs/logs/TASK.txt: the command, its stdout, and
a last line with the seconds, the machine and PyTorch's version.
"""

from common import exits
from common.exits import UserError, end_cleanly

end_cleanly(__name__)

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import torch

from common.options import Parser

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "docs" / "logs"


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", metavar="TASK", help="a script's name, as task01")
    for task in parser.parse_args().tasks:
        if not (ROOT / f"{task}.py").exists():
            raise UserError(f"there is no {task}.py")
        exits.at(f"while {task} ran")
        start = time.perf_counter()
        result = subprocess.run([sys.executable, f"{task}.py"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - start
        if result.returncode:
            sys.exit(result.returncode)
        machine = f"{os.cpu_count()} cores, {platform.machine()}, PyTorch {torch.__version__}"
        text = f"$ python {task}.py\n{result.stdout}\n# {seconds:.0f} s from start to end on {machine}\n"
        (LOGS / f"{task}.txt").write_text(text, encoding="utf-8")
        print(f"{task}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
