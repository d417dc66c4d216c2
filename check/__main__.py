"""Which property does my code violate? python -m check task03 my_task03.py

    python -m check                    a table of all tasks, and what comes next (with a folder: of its files)
    python -m check start task03       write my_task03.py, which you fill in (--mine: from your own task 2)
    python -m check my_task03.py       check it; the name says which task, or give the task before it
    python -m check run my_task03.py   run it, and compare its log with the documented one
    python -m check look my_task03.py  draw a picture of its attention
    python -m check grade DIR          for teachers: mark a folder of submissions; each command has --help

The check tests one property after the other and stops at the first that fails (`--all` goes on). The order is such that
a failure has one likely cause. Exit code 0: all properties hold; 1: one fails; 2: not started, or bad input; 3: one
could not be decided; 4: the check itself could not run; 130: interrupted. docs/check.md says what each stage tests.
"""

import contextlib
import importlib
import importlib.util
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if not __package__:  # python PATH/check, in any folder
    sys.path[:] = [str(HERE.parent), *(path for path in sys.path if not path or Path(path).resolve() != HERE)]

from check import COMMANDS  # noqa: E402
from check.judge import zygote  # noqa: E402
from common.run import progress, run  # noqa: E402

NO_CHECK = {"--hint", "--compare"}


def main() -> None:
    progress.where = "before the verdict"
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    command = words[0] if words and words[0] in COMMANDS else ""
    with contextlib.ExitStack() as stack:
        if not {"-h", "--help"} & set(sys.argv[1:]):
            _need_torch(stack if words and not command and not NO_CHECK & set(sys.argv[1:]) else None)
        if command:
            sys.argv.remove(command)
        importlib.import_module(COMMANDS.get(command, "check.command.check_file")).main()


def _need_torch(stack: contextlib.ExitStack | None) -> None:
    """Import PyTorch; with a stack, the learner's process does so at the same time."""
    if importlib.util.find_spec("torch") is None:
        print("The check could not run: PyTorch is not installed: pip install -r requirements.txt", file=sys.stderr)
        sys.exit(4)
    if stack and zygote.CAN_FORK:
        zygote.AHEAD.append(stack.enter_context(zygote.Zygote()))
    from common import pytorch  # noqa: F401


if __name__ == "__main__":
    run(main)
