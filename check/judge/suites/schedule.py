"""get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr)."""

import itertools
import math

from check.judge.learner_file import LearnerFile
from check.judge.result import Failure
from check.judge.stages.start import contract, identity

# Peak, warmup_iters, decay_iters, minimum.
RUNS = [(0.4, 4, 14, 0.1), (2.0, 1, 8, 0.0), (0.5, 0, 7, 0.25), (6e-4, 2000, 6000, 6e-5)]


def interface(learner: LearnerFile) -> str:
    """get_lr(iteration, learning_rate, warmup_iters, decay_iters, min_lr)."""
    found = contract(learner, "get_lr")
    try:
        _rates(learner, RUNS[0])
    except Failure as failure:  # of what else is wrong a later stage says more
        if "neither an argument" in failure.got:
            raise
    return found


def rise(learner: LearnerFile) -> str:
    """Equal steps up to the peak, which comes at iteration warmup_iters."""
    for run in RUNS:
        peak, warmup = run[:2]
        rates = _rates(learner, run)
        points = [n for n in rates if n <= warmup]
        got = [rates[n] for n in points]
        right = [_line(start, peak, warmup, points) for start in (0.0, peak / (warmup + 1))]
        if not any(_equal(got, expected) for expected in right):
            if any(_equal(got[:-1], expected[:-1]) for expected in right if warmup):
                raise _meeting(got[-1], run)
            raise Failure(
                what=f"a linear rise over {warmup} iterations to {peak:g}",
                expected=_listed(right[0 if got[0] == 0 else 1]),
                got=_listed(got),
                hint="At which iteration is the peak first reached, and are the steps to it equal?",
            )
    return f"linear, to the peak at iterations {', '.join(str(run[1]) for run in RUNS)}"


def _meeting(got: float, run: tuple) -> Failure:
    """For a rise that is right up to warmup_iters, where the fall begins."""
    peak, warmup, _, least = run
    hint = "How far along the fall is iteration warmup_iters: (iteration - warmup) / (decay - warmup)?"
    if abs(got - peak - least) < 1e-6 * peak and least:
        hint = "What is the wave multiplied by: the peak, or the peak minus the minimum?"
    return Failure(
        what=f"the rise is right; at iteration {warmup}, warmup_iters, the fall begins at the peak",
        expected=f"{peak:g}",
        got=f"{got:.4g}" + f", the peak and the minimum, {least:g}" * hint.startswith("What"),
        hint=hint,
    )


def fall(learner: LearnerFile) -> str:
    """From the peak down, to the minimum at decay_iters and not before, and no further."""
    for run in RUNS:
        peak, warmup, end, least = run
        rates = _rates(learner, run)
        falling = [n for n in rates if n >= warmup]
        for n, before in zip(falling[1:], falling, strict=False):
            if rates[n] > rates[before] + 1e-6 * peak:
                raise Failure(
                    what="after the peak it never rises",
                    expected=f"at most {rates[before]:.6g} at iteration {n}",
                    got=f"{rates[n]:.6g}",
                    hint="Which way does the cosine go, and what comes after decay_iters?",
                )
        rest = [rate for n, rate in rates.items() if n >= end]
        if not _equal(rest, [least] * len(rest)) or rates[end - 1] <= least:
            raise Failure(
                what=f"the minimum, {least:g}, from iteration {end} on",
                expected=_listed([least] * 3),
                got=f"{rates[end - 1]:.6g} at {end - 1}, then {_listed(rest)}",
                hint="How far along is iteration decay_iters, and what is left of the wave there?",
            )
    return "down to the minimum at decay_iters, and it stays there"


def formula(learner: LearnerFile) -> str:
    """Half a wave of the cosine."""
    for run in RUNS:
        peak, warmup, end, least = run
        rates = _rates(learner, run)
        points = [n for n in rates if warmup <= n <= end]
        got = [rates[n] for n in points]
        wave = [math.cos(math.pi * (n - warmup) / (end - warmup)) for n in points]
        expected = [least + (peak - least) * (1 + height) / 2 for height in wave]
        if not _equal(got, expected):
            raise Failure(
                what="half a wave of the cosine between peak and minimum",
                expected=_listed(expected),
                got=_listed(got),
                hint="Half-way down, which fraction of the way from minimum to peak is left?",
            )
    return "half a wave of the cosine"


def _rates(learner: LearnerFile, run: tuple) -> dict[int, float]:
    """The learning rate at some iterations of a run, those where it turns among them, and of some after it."""
    warmup, end = run[1:3]
    turns = (n + more for n in (0, warmup, end) for more in (-1, 0, 1, 2))
    every = {*turns, *range(0, end, max(1, end // 30)), end + min(end, 40)}
    points = sorted(n for n in every if n >= 0)
    portions = [points[n : n + 8] for n in range(0, len(points), 8)]
    asked = (learner.process.ask("rates", iterations=portion, settings=list(run)) for portion in portions)
    return dict(zip(points, itertools.chain.from_iterable(asked), strict=True))


def _line(start: float, peak: float, warmup: int, points: list[int]) -> list[float]:
    """Rates at some iterations up to warmup, in equal steps to the peak."""
    return [peak - (peak - start) * (warmup - n) / max(warmup, 1) for n in points]


def _equal(got: list[float], expected: list[float]) -> bool:
    largest = max(map(abs, expected))
    return all(abs(one - other) <= 1e-6 * largest + 1e-12 for one, other in zip(got, expected, strict=True))


def _listed(rates: list[float]) -> str:
    shown = ", ".join(f"{rate:.4g}" for rate in rates[:6])
    return f"{shown}, …" if len(rates) > 6 else shown


STAGES = [identity, interface, rise, fall, formula]
