"""positional_encoding(T, C), as a function or a module, of sinusoids or learned."""

import math

from check.judge.learner_file import LearnerFile, close, off
from check.judge.result import Failure
from check.judge.stages.start import contract, identity

import torch

C, T, LONG = 24, 7, 1000


def interface(learner: LearnerFile) -> str:
    """positional_encoding(T, C), as a function or a module, of sinusoids or learned."""
    return contract(learner, "positional_encoding", try_it=lambda: _rows(learner, T, C))


def shapes(learner: LearnerFile) -> str:
    """(T, C) of floats."""
    for length, width in ((1, C), (T, C), (40, 8), (LONG, C), (64, 512)):
        rows = _rows(learner, length, width)
        if tuple(rows.shape) != (length, width) or not rows.is_floating_point():
            raise Failure(
                what="a row of C floats for each position",
                expected=f"{(length, width)} of floats",
                got=f"{tuple(rows.shape)} of {rows.dtype}",
                hint="Along which axis are the positions, and how many may there be?",
            )
    return f"(T, C), T from 1 to {LONG}, C up to 512"


def steadiness(learner: LearnerFile) -> str:
    """Fixed numbers; a position's row does not depend on how many positions there are."""
    answer = _answer(learner, 40, C)
    rows = answer["value"]
    if not rows.isfinite().all():
        raise Failure(
            what="numbers are finite",
            expected="numbers",
            got=f"{int((~rows.isfinite()).sum())} infinite or not a number",
            hint="Is there a division by zero, or a power that overflows?",
        )
    if not torch.equal(rows, _rows(learner, 40, C)):
        raise Failure(
            what="nothing is drawn",
            expected="the same numbers twice",
            got="others",
            hint="Which part of the formula is random?",
        )
    if not close(rows[:T], _rows(learner, T, C)):
        raise Failure(
            what="a row does not depend on T",
            expected=f"the first {T} of 40 rows, alone",
            got=off(rows[:T], _rows(learner, T, C)),
            hint="Where does the code use the number of positions, except for counting them?",
        )
    return "fixed, finite, the same row for a position whatever T"


def position(learner: LearnerFile) -> str:
    """Positions have different rows."""
    rows = _rows(learner, 64, C).double()
    apart = (torch.cdist(rows, rows) + 9 * torch.eye(64)).min()
    if apart < 0.1:
        raise Failure(
            what="positions have different rows",
            expected="rows at least 0.1 apart",
            got=f"{apart:.2g}",
            hint="Do the angles grow with the position, in the fast pairs by much?",
        )
    return "rows differ"


def formula(learner: LearnerFile) -> str:
    """The paper's formula, interleaved or half by half, sines or cosines first."""
    if _answer(learner, T, C)["learned"]:
        return "learned rows, one a position: there is no formula to compare them with"
    for length in (64, LONG):
        rows = _rows(learner, length, C).double()
        found = next((name for name, expected in _layouts(length).items() if close(rows, expected, 2e-3)), "")
        other = _layouts(length, 10_000.0 ** -(PAIRS * C / (C - 2)))
        if not found and any(close(rows, expected, 2e-3) for expected in other.values()):
            learner.note("speeds reach exactly 1/10,000 at the last pair, as in tensor2tensor; the paper's end before")
        elif not found:
            raise _wrong(rows)
    return f"the paper's numbers, {found}" if found else "sines and cosines, at speeds 10,000^(-2i / (C - 2))"


PAIRS = torch.arange(0, C, 2, dtype=torch.float64) / C  # 2i / C
KNOWN = {  # what learners write: the hint, the angle from one position to the next, the first position
    "exponents i / C, or base 100": (
        "What is the exponent of pair i: 2i / C? And what is the base: 10,000?",
        10_000.0 ** -(PAIRS / 2),
        0,
    ),
    "exponents 4i / C": ("What is the exponent of pair i: 2i / C?", 10_000.0 ** -(PAIRS * 2), 0),
    "exponents 2(i + 1) / C": ("What is the exponent of the first pair: 0?", 10_000.0 ** -(PAIRS + 2 / C), 0),
    "angles that grow with the pair": ("What is the sign of the exponent?", 10_000.0**PAIRS, 0),
    "positions from 1 on": ("Is 0 the first position?", 10_000.0**-PAIRS, 1),
    "one angle for all pairs": ("How does one pair differ from another?", PAIRS * 0 + 1, 0),
    **{f"base {base:g}": ("Which base: 10,000?", base**-PAIRS, 0) for base in (1e3, 1e5, math.exp(4))},
}


def _layouts(length: int, speeds: torch.Tensor | None = None, start: int = 0) -> dict[str, torch.Tensor]:
    """The formula's rows, in every order of columns that is right."""
    speeds = 10_000.0**-PAIRS if speeds is None else speeds
    angles = torch.arange(start, start + length, dtype=torch.float64)[:, None] * speeds  # (T, C / 2)
    sines, cosines = angles.sin(), angles.cos()
    return {
        "sines at even columns": torch.stack([sines, cosines], dim=-1).flatten(-2),
        "sines first": torch.cat([sines, cosines], dim=-1),
        "cosines at even columns": torch.stack([cosines, sines], dim=-1).flatten(-2),
        "cosines first": torch.cat([cosines, sines], dim=-1),
    }


def _wrong(rows: torch.Tensor) -> Failure:
    layouts, early = _layouts(len(rows)), rows[:16]
    expected = min(layouts.values(), key=lambda each: float((each - rows).abs().mean()))
    norms = early.square().sum(dim=-1)
    hint, named = "Which base, and which exponents, for the pair at columns 2i and 2i + 1?", _exponents(early)
    first = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(C // 2)
    if not close(rows[0].sort().values, first.sort().values):
        hint = "What are sine and cosine at position 0, and is 0 the first position?"
    elif any(close(early, layout[:16], 2e-3) for layout in layouts.values()):
        hint = "What happens at later positions: is the table cut, repeated or rounded?"
    elif norms.max() - norms.min() > 1e-3 * C:
        hint = "Do the sine and the cosine of a pair have the same angle, with exponent 2i / C?"
    for name, (known, speeds, start) in KNOWN.items():
        if any(close(early, each, 1e-2) for each in _layouts(len(early), speeds, start).values()):
            hint, named = known, f"; {name}"
    row, column = ((rows - expected).abs() > 2e-3).nonzero()[0].tolist()
    return Failure(
        what="sin and cos of t / 10000^(2i/C)",
        expected=f"position {row}: {_shown(expected[row], column)} from column {column} on, in some order of pairs",
        got=_shown(rows[row], column) + named,
        hint=hint,
    )


def _exponents(rows: torch.Tensor) -> str:
    """The exponents of the first sines and cosines, where columns are these of angles that grow with the position."""
    sines, first = rows[0].abs() < 0.5, rows[1].clamp(-1, 1)
    speeds = torch.where(sines, first.asin(), first.acos())  # (C)
    angles = torch.arange(len(rows), dtype=torch.float64)[:, None] * speeds
    if not close(torch.where(sines, angles.sin(), angles.cos()), rows, 1e-2):
        return ""
    shown = (-speeds.log() / math.log(10_000) * C).round(decimals=2) + 0.0
    of = [", ".join(f"{each:g}" for each in shown[which][:3].tolist()) for which in (sines, ~sines)]
    return f"; exponents of the sines {of[0]}, … / C, of the cosines {of[1]}, … / C"


def _answer(learner: LearnerFile, length: int, width: int) -> dict:
    return learner.process.ask("positions", length=length, width=width, longest=LONG)


def _rows(learner: LearnerFile, length: int, width: int) -> torch.Tensor:
    return _answer(learner, length, width)["value"]


def _shown(row: torch.Tensor, column: int) -> str:
    """Four numbers of a row."""
    return "[" + ", ".join(f"{number:.3g}" for number in row[column : column + 4].tolist()) + ", …]"


STAGES = [identity, interface, shapes, steadiness, position, formula]
