"""Do correct files pass, and do files with planted mistakes fail? python -m tools.cases

Checks the files of tests/cases/right, which authors who did not read the check wrote in the styles of well-known code
bases (README.md and PIECES.md there). Prints a line for each file that does not pass, and a table. `--seeds N` checks
with N seeds. `--wrong` plants the mistakes of tests/cases/wrong/planted.toml instead, one or a pair at a time, and
prints a table: file, mistake, and the check's message.
"""

import itertools
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path

from check.command.names import task_of
from check.judge.checking import check
from check.judge.result import Result
from check.judge.zygote import Zygote
from common.machine import describe
from common.parser import Parser, whole_number
from common.run import progress, run

CASES = Path(__file__).resolve().parent.parent / "tests" / "cases"
RIGHT = CASES / "right"


def right_files(words: list[str]) -> list[Path]:
    """The right files, or those whose path holds one of the words."""
    found = sorted(RIGHT.glob("*/*.py"))
    return [path for path in found if not words or any(word in str(path.relative_to(RIGHT)) for word in words)]


def mistakes(words: list[str]) -> list[dict]:
    """The planted mistakes: file, name, kind, leads, edits."""
    bugs = tomllib.loads((CASES / "wrong" / "planted.toml").read_text(encoding="utf-8"))["bug"]
    return [bug for bug in bugs if not words or any(word in bug["file"] or word in bug["name"] for word in words)]


def planted(bug: dict) -> str:
    """The text of a right file with a mistake in it."""
    text = (RIGHT / bug["file"]).read_text(encoding="utf-8")
    for old, new in bug["edits"]:
        assert text.count(old) == 1, f"{bug['file']}: {bug['name']}: {old!r}"
        text = text.replace(old, new)
    return text


def first_failure(path: Path, seed: int, zygote: Zygote) -> Result | None:
    """The first stage that does not hold, or None."""
    results = check(str(task_of(path)), path, seed=seed, zygote=zygote)
    return next((result for result in results if result.status != "pass"), None)


def said(result: Result) -> str:
    """A result on one line."""
    parts = [result.detail]
    if result.what:
        parts = [result.what, f"expected {result.expected}, got {result.got}", result.hint]
    return " / ".join(parts).replace("\n", " ").replace("|", "\\|")


def check_right(words: list[str], seeds: int, zygote: Zygote) -> int:
    """Print what does not pass, and a table by style; how many did not."""
    found = right_files(words)
    failed: Counter[str] = Counter()
    for seed, path in itertools.product(range(seeds), found):
        name = path.relative_to(RIGHT)
        progress.where = f"with seed {seed}, at {name}"
        if wrong := first_failure(path, seed, zygote):
            failed[name.parts[0]] += 1
            print(f"{name}, seed {seed}: {wrong.status} at {wrong.stage}: {said(wrong)}", flush=True)
    print("\n| style | files | checks | not passed |\n|---|---|---|---|")
    for style, count in Counter(path.parent.name for path in found).items():
        print(f"| {style} | {count} | {count * seeds} | {failed[style]} |")
    print(f"\n{len(found) * seeds} checks of {len(found)} files with {seeds} seeds, {failed.total()} did not pass")
    return failed.total()


def check_wrong(words: list[str], zygote: Zygote) -> int:
    """Print a table of the planted mistakes; how many passed."""
    print("| file | mistake | stage | what the check says |\n|---|---|---|---|")
    passed, bugs = 0, mistakes(words)
    with tempfile.TemporaryDirectory() as folder:
        for bug in bugs:
            progress.where = f"at {bug['file']}: {bug['name']}"
            path = Path(folder, Path(bug["file"]).name)
            path.write_text(planted(bug), encoding="utf-8")
            result = first_failure(path, 0, zygote)
            passed += result is None
            stage, text = (result.stage, said(result)) if result else ("PASSED", "")
            print(f"| {bug['file']} | {bug['name']} ({bug['kind']}) | {stage} | {text} |", flush=True)
    print(f"\n{len(bugs)} mistakes, {passed} passed")
    return passed


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="of the paths: a style, a task (default: all)")
    parser.add_argument("--seeds", type=whole_number(1), default=1, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--wrong", action="store_true", help="plant mistakes")
    options = parser.parse_args()
    with Zygote() as zygote:
        wrong, seeds = options.wrong, options.seeds
        missed = check_wrong(options.words, zygote) if wrong else check_right(options.words, seeds, zygote)
    print(f"# one of {describe()}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    run(main)
