"""One file, checked once or at every save; and the table of all."""

import functools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import check.__main__ as front
from check.command import compare
from check.command.names import SUFFIXES, command, named, own_file, own_files, suggestion, task_named, task_of, told_by
from check.command.state import NO_CHECK, State, failed_first, following, notes_of, rows
from check.isolated import notebook, sandbox
from check.judge.checking import CODES, verdict
from check.judge.checking import check as stages
from check.judge.result import Result
from check.judge.suites import stages_of
from check.judge.zygote import Zygote
from common.parser import Parser, path, whole_number
from common.progress import hint
from common.run import UserError
from common.terminal import columns, fold, has_codes, is_terminal, say, wrapped
from exercises.build import expected
from exercises.catalogue import EXERCISES, PIECES

LARGEST = 2**20  # bytes of a file
FACTORS = {r"scale of the scores|scores (divided|multiplied)": r"scale|-0\.5|√", "temperature": "temperature"}
RED, GREEN, YELLOW = 31, 32, 33  # the terminal's
MARKS = {
    "pass": ("✓", GREEN),
    "fail": ("✗", RED),
    "not started": ("…", YELLOW),
    "undecided": ("?", YELLOW),
    "error": ("!", RED),
}
SUMMARIES = {
    "pass": "{task}: all properties hold.",
    "fail": "{task}: fails at {names}.\nThe next hint: {hint}",
    "not started": "{task}: not started.\nThe next hint: {hint}",
    "undecided": "{task}: not decided at {names}.",
    "error": "{task}: the check could not go on at {names}. This is not about your code.",
}


def main() -> None:
    parser = Parser(prog="python -m check", description=front.__doc__)
    add = parser.add_argument
    add("words", nargs="*", metavar="TASK FILE", help="a task or piece, a file, or both; or a folder")
    flag = functools.partial(add, action="store_true")
    flag("--all", help="go on after a failure")
    flag("--watch", help="check again at every save; keys give hints and more")
    flag("--compare", help="show how the file differs from the official one instead")
    flag("--json", help="print JSON")
    add("--hint", type=int, choices=(1, 2, 3), help="1 a first idea about what failed last, 2 more, 3 the formula")
    add("--seed", type=whole_number(0, 10**6), default=0, help="seed of the check's random numbers")
    flag("--official", help="accept the repository's own file, to try the check")
    options = parser.parse_intermixed_args()
    if options.hint:
        if not options.words:
            parser.error("--hint: for which task?")
        say(hint_for(options.words, options.hint))
        return
    if not options.words or (len(options.words) == 1 and Path(options.words[0]).is_dir()):
        if options.watch or options.compare or options.json:
            parser.error("expected a file, or its task")
        overview(options.words)
        return
    task, file = meant(options.words)
    readable(file)
    if options.compare:
        say(compare.compare(task, text_of(file)).rstrip("\n"), hanging=4)
    elif options.watch:
        from check.command.watch import watch

        watch(task, file, options)
    else:
        results = once(task, file, options)
        sys.exit(CODES[verdict(results)])


def hint_for(words: list[str], level: int) -> str:
    """A hint for a task, or for its file; the hint is noted as given."""
    files = [Path(word) for word in words if Path(word).suffix in SUFFIXES]
    names = [word for word in words if Path(word) not in files]
    task = (told_by(files[0]) if files and not names else None) or task_named(" ".join(names or words))
    return State().hint(task, level, files[0] if files else None)


def meant(words: list[str]) -> tuple[str, Path]:
    """The task and the file that a command line names, in any order, or by one of both. Raises UserError."""
    if len(words) > 2:
        raise UserError(f"expected a task and a file, got {len(words)} words (see --help)")
    files = [word for word in words if Path(word).suffix in SUFFIXES or Path(word).exists()]
    if len(words) == 2:
        file = words[1] if words[1] in files or words[0] not in files else words[0]
        return task_named(words[1 - words.index(file)]), path(file)
    if not files and "/" not in words[0] and not Path(words[0]).suffix:
        task = task_named(words[0])
        return task, own_file(task, State().folder)
    file = words[0]
    if not Path(file).exists():
        close = suggestion(file, map(str, own_files(Path(file).parent).values()))
        raise UserError(f"{file}: no such file{close}")
    task_or_none = told_by(Path(file))
    if task_or_none is None:
        raise UserError(f"{file}: its name does not contain a task or piece; say which: {command('task03', file)}")
    return task_or_none, path(file)


def readable(file: Path) -> None:
    """Raise UserError for a file that cannot be checked."""
    if file.is_dir():
        raise UserError(f"{file}: a folder; expected a file in it")
    if not file.is_file():
        raise UserError(f"{file}: {'not a regular file' if file.exists() else 'no such file'}")
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file}: expected a .py file or a notebook")
    if file.stat().st_size <= LARGEST and not file.read_bytes().strip():
        raise UserError(f"{file}: the file is empty; {command('start', task_of(file) or 'task01')} writes a starter")
    if file.suffix == ".py" and file.stat().st_size > LARGEST:
        raise UserError(f"{file}: larger than {LARGEST // 2**20} MiB; expected the text of a program")
    if b"\0" in file.read_bytes():
        raise UserError(f"{file}: not a text; expected the text of a program")
    if file.suffix == ".ipynb":
        notebook.code_of(file)


def text_of(file: Path) -> str:
    """The Python in a file or notebook. Raises UserError if it is not UTF-8."""
    try:
        return notebook.code_of(file) if file.suffix == ".ipynb" else file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: not UTF-8 text") from error


def results_of(task: str, file: Path, options, zygote: Zygote | None = None) -> Iterator[Result]:
    """Each stage as it comes."""
    return stages(task, file, options.all, options.seed, options.official, zygote)


def once(task: str, file: Path, options) -> list[Result]:
    """Check a file, tell what is found, and remember it."""
    if options.json:
        results = list(results_of(task, file, options))
        found = [result.as_dict() for result in results]
        print(json.dumps({"task": task, "file": str(file), "status": verdict(results), "stages": found}))
    else:
        results = show(task, results_of(task, file, options))
        say(summary(task, results, file))
    State().note(task, file, results, verdict(results))
    if not options.json:
        if sandbox.kind() == "no":
            hint("There is no sandbox here, so your file can do anything while it is checked: see docs/check.md.")
        advise(task, file, results)
    return results


def show(task: str, coming: Iterator[Result], before: list[Result] | None = None) -> list[Result]:
    """Print each stage as it comes, unless it repeats its last message; return all. A failure has all its lines."""
    width = max(len(stage.__name__) for stage in stages_of(task)) + 2
    results = []
    for result in coming:
        results.append(result)
        if before and result in before:
            continue
        mark, colour = MARKS[result.status] if is_terminal(sys.stdout) else (f"{result.status:11}", 0)
        label = f"{mark} {result.stage:{width}}"
        indent = len(label) if is_terminal(sys.stdout) else 12
        said = result.what if result.status == "fail" else result.detail
        first = wrapped(f"{label}{said}", sys.stdout, hanging=indent)
        print(painted(first[: len(label)], colour) + first[len(label) :], flush=True)
        for line in details(result, indent):
            say(line, hanging=10)
    return results


def details(result: Result, indent: int) -> list[str]:
    """The lines below a failure's first: what was expected, what came, a question, the learner's own line."""
    if result.status != "fail":
        return []
    shapes = ", ".join(f"{name} {tuple(shape)}" for name, shape in result.shapes.items())
    parts = {"expected": result.expected, "got": result.got, "sizes": result.sizes, "shapes": shapes}
    parts |= {"example": result.example, "line": result.source, "hint": result.hint, "printed": result.output}
    below = "\n" + " " * (indent + 10)
    return [f"{' ' * indent}{label + ':':9} {text.replace(chr(10), below)}" for label, text in parts.items() if text]


def painted(text: str, colour: int) -> str:
    """Text in a colour of the terminal, where it has colours."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and has_codes(sys.stdout) else text


def summary(task: str, results: list[Result], file: Path | None = None) -> str:
    """The last line, and how a file that passes (by default the table's) differs from the lesson."""
    status = verdict(results)
    names = ", ".join(result.stage for result in results if result.status == status) or "the start"
    state = State()
    meant = named(task, file) if file and file.resolve() != state.own(task).resolve() else [task]
    next_hint = command(*meant, "--hint", level_of_hint(task, file, results))
    said = SUMMARIES[status].format(task=task, names=names, hint=next_hint)
    notes = "; ".join(notes_of(results)) if status == "pass" else ""
    return f"{said}\nNext to the lesson: {notes}." if notes else said


def level_of_hint(task: str, file: Path | None, results: list[Result]) -> int:
    """The hint to give next: the last one, which has the formula, if a factor in the formula is wrong."""
    stage = failed_first(results)
    failed = next((f"{result.got} {result.hint}" for result in results if result.status == "fail"), "")
    hints = EXERCISES[task].about(stage) or EXERCISES[task].hints
    for word, in_formula in FACTORS.items():
        if re.search(word, failed) and re.search(in_formula, hints[-1]):
            return len(hints)
    return State().next_hint(task, file, stage)


def advise(task: str, file: Path, results: list[Result]) -> None:
    """Tell a person at a terminal what to do next."""
    if verdict(results) == "pass" and EXERCISES[task].why:
        notes = notes_of(results)
        if any(re.match(r"task \d with ", note) for note in notes):
            hint("What such a change gains over task 9: docs/variants.md.")
        else:
            hint(f"Why the official file does it this way: {EXERCISES[task].why}")
            hint(f"Compare your file with it: {command(file, '--compare')}")
            hint(f"Expect {expected(task)}{', not digit for digit: see the notes' if notes else ''}.")
        hint(f"Run yours: {command('run', file)}")
        hint(f"Next: {following(State())}")


def overview(words: list[str]) -> None:
    """The table of all tasks, and the command to give next."""
    state = State()
    if words:
        state.folder = Path(words[0])
        if own_files(state.folder) or state.folder == Path():
            state.save()
    table([("task", "file", "state", "checked"), *rows(state)])
    if state.folder != Path():
        say(f"The files of {state.folder}; {command('.')} goes back to this folder.")
    say(f"Next: {following(state)}", hanging=2)
    hint(f"Pieces for other courses: {', '.join(PIECES)}.")


def table(lines: list[tuple[str, ...]]) -> None:
    """Print rows of task, file, state and date; a narrow terminal gets no dates, and the state below itself."""
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    room = columns(sys.stdout) if is_terminal(sys.stdout) else sys.maxsize
    shown = 4 if sum(widths) + 3 * 2 <= room else 3
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)][:shown]
        at = sum(widths[:2]) + 2 * 2
        text = fold("  ".join(cells).rstrip(), room, hanging=at)
        known = {"state": 0, "passed": GREEN, "not started": 0, NO_CHECK: 0}
        colour = RED if line[2].startswith("fails") else known.get(line[2], YELLOW)
        print(text[:at] + painted(text[at:], colour), flush=True)
