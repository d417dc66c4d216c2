"""A training loop, train(model, optimizer, get_batch, …) or a script's lines, on a small problem."""

import itertools
import re

from check.judge.learner_file import LearnerFile, close, off
from check.judge.result import Failure
from check.judge.stages.start import identity
from exercises.build import official_signature

import torch
from torch.nn import functional as F

V, N, T = 8, 3, 5
MAX_ITERS, EVAL_ITERS, LOG_INTERVAL, ACCUMULATION = SETTINGS = [14, 3, 4, 2]
NUMBER = re.compile(r"(?<![\w.])\d+\.?\d*(?:[eE][+-]?\d+)?")
FREE = 1e9  # a clip that does nothing
RATES = [0.5 + 0.1 * n for n in range(MAX_ITERS + 3)]
LOSSES = [3.0, 2.0, 2.5, 1.0, 1.5, 1.7, 1.6, 1.8]  # what each evaluation gives
STAND_INS = "run with the check's own model, optimizer, get_batch, get_lr and estimate_loss"


def interface(learner: LearnerFile) -> str:
    """The loop, as a function with any of train's arguments (the rest are globals), or as lines of a script."""
    found = learner.process.ask("loop")
    names = found["functions"]
    if len(names) > 1 or not (names or found["script"]):
        raise Failure(
            what="the file has a training loop",
            expected=f"train{official_signature('training', 'train')}, or a loop with backward() at module level",
            got=f"several: {', '.join(names)}" if names else "no backward() outside of a class",
            hint="Which of these is the training loop?" if names else "Where are the gradients computed?",
        )
    if found["missing"]:
        raise Failure(
            what="the script's loop uses the exercise's names",
            expected="model, optimizer, get_batch, max_iters",
            got=f"no {', '.join(found['missing'])}",
            hint="What are these called in your loop? Or is it a function with the arguments of train?",
        )
    try:
        _events(learner)
    except Failure as failure:
        if any(word in failure.got for word in ("neither an argument", "it takes")):
            raise
    return f"{f'{names[0]}()' if names else 'the loop of the script'}, {STAND_INS}"


def length(learner: LearnerFile) -> str:
    """max_iters updates, of that many batches each."""
    events = _events(learner)
    for kind, expected, hint in (
        ("step", MAX_ITERS, "After how many updates does the loop stop, and is there one in each iteration?"),
        ("batch", MAX_ITERS * ACCUMULATION, "How many batches does one iteration read?"),
    ):
        got = sum(event["kind"] == kind for event in events)
        if got not in (expected, expected + (kind == "batch")):  # a first batch may be read before the loop
            name = "updates" if kind == "step" else "batches"
            raise Failure(what=f"the number of {name}", expected=expected, got=got, hint=hint)
    return f"{MAX_ITERS} updates of {ACCUMULATION} batches"


def mode(learner: LearnerFile) -> str:
    """Training mode in updates, evaluation mode in evaluations."""
    for event in _events(learner):
        wanted = event["kind"] == "step"
        if event["kind"] in ("step", "evaluation") and event["training"] != wanted:
            raise Failure(
                what=f"the mode in which the model is in {'an update' if wanted else 'an evaluation'}",
                expected=f"model.training {wanted}",
                got=event["training"],
                hint="Which mode does an evaluation need, and which does it leave behind?",
            )
    itself = "; estimate_loss goes to evaluation mode itself" if learner.process.ask("loop")["sets_mode"] else ""
    return f"updates in training mode, evaluations in evaluation mode{itself}"


def schedule(learner: LearnerFile) -> str:
    """Each update has its own learning rate, in every group."""
    for n, event in enumerate(_steps(learner)):
        if any(abs(rate - RATES[n]) > 1e-9 for rate in event["lr"]):
            said, hint = _set_rate(event["lr"], n)
            raise Failure(
                what="the learning rate of an update is get_lr of its iteration",
                expected=f"{RATES[n]:.4g} in iteration {n}, in every group",
                got=", ".join(f"{rate:.4g}" for rate in event["lr"]) + said,
                hint=hint,
            )
    return "get_lr(n) in every group"


def _set_rate(got: list[float], n: int) -> tuple[str, str]:
    """What wrong rates of iteration n are, and the hint for it."""
    expected, first = RATES[n], 1e-9
    if all(abs(rate - expected * first) < 1e-3 * expected * first for rate in got):
        hint = "LambdaLR multiplies the optimizer's own rate: is that rate 1, or do you set the rate in param_groups?"
        return f": get_lr times {first:g}, the rate that the optimizer began with", hint
    if all(abs(rate - RATES[n + 1]) < 1e-9 for rate in got):
        return f", that of iteration {n + 1}", "From where is the iteration counted?"
    if any(abs(rate - expected) < 1e-9 for rate in got):
        return "", "For which of the optimizer's groups is the rate set?"
    return "", "When is the rate set, for which groups, and from where is the iteration counted?"


def accumulation(learner: LearnerFile) -> str:
    """Several batches give the gradient of one large batch."""
    before = torch.zeros(V, V)
    for n, (event, (expected, _)) in enumerate(zip(_steps(learner), _run(FREE), strict=True)):
        got = event["gradient"]
        if not close(got, expected, 1e-4):
            said, hint = _accumulated(got, expected, before)
            raise Failure(
                what=f"{ACCUMULATION} batches give the gradient of one large batch",
                expected=f"norm {expected.norm():.4f} in iteration {n}",
                got=f"norm {got.norm():.4f}{said}",
                hint=hint,
            )
        before = got
    return "equal to the gradient of one large batch"


def _accumulated(got: torch.Tensor, expected: torch.Tensor, before: torch.Tensor) -> tuple[str, str]:
    """What a wrong gradient is, by `before`, that of the iteration before, and the hint for it."""
    parts = [slope / ACCUMULATION for slope in _learned(torch.zeros(V, V), 0)[1]]
    zero = "Where does the gradient begin at zero: once an iteration, before its first batch?"
    known = [
        (f", exactly {ACCUMULATION} times as much", expected * ACCUMULATION, "By what is each batch's loss divided?"),
        (": that of the iteration before is still in it", expected + before, zero),
        (": that of the last batch alone", parts[-1], zero),
        (": that of the last batch alone, not divided", parts[-1] * ACCUMULATION, zero),
        (": the first batch, every time", parts[0] * ACCUMULATION, "Where is the next batch read?"),
    ]
    undecided = ("", "By what is each batch's loss divided, and where does the gradient begin at zero again?")
    return next(((said, hint) for said, each, hint in known if close(got, each, 1e-4)), undecided)


def clipping(learner: LearnerFile) -> str:
    """The norm of the accumulated gradient is clipped."""
    limit = 0.1
    for n, (event, (expected, _)) in enumerate(zip(_steps(learner, limit), _run(limit), strict=True)):
        got = event["gradient"]
        if not close(got, expected, 2e-3):
            said, hint = _clipped(learner)
            raise Failure(
                what=f"the gradient's norm is clipped to grad_clip, {limit}",
                expected=f"norm {expected.norm():.4f} in iteration {n}, direction kept",
                got=f"norm {got.norm():.4f}, {said or off(got, expected)}",
                hint=hint,
            )
    return "to its norm, once an update"


def _clipped(learner: LearnerFile) -> tuple[str, str]:
    """How the first gradient is clipped, to a limit that acts on single numbers, too, and the hint for it."""
    limit = 0.01
    got = _steps(learner, limit)[0]["gradient"]
    parts = [slope / ACCUMULATION for slope in _learned(torch.zeros(V, V), 0)[1]]
    whole = sum(parts, torch.zeros(V, V))
    one_by_one = torch.zeros(V, V)  # each time all that there is so far
    for part in parts:
        one_by_one = _cut(one_by_one + part, limit)
    known = [
        ("as it is without clipping", whole, "Is the gradient clipped between the last backward() and step()?"),
        ("clipped number by number", whole.clamp(-limit, limit), "Is it clipped by its norm: clip_grad_norm_?"),
        ("clipped after each batch", one_by_one, "Is it clipped once, after all batches?"),
        ("only the last batch's part", _cut(parts[-1], limit), "Does the gradient of all batches add up?"),
        ("always of the norm grad_clip", whole * limit / whole.norm(), "Is a small gradient left as it is?"),
    ]
    undecided = ("", "What is clipped, when, and by its norm or its values?")
    return next(((name, hint) for name, each, hint in known if close(got, each, 2e-3)), undecided)


def _cut(gradient: torch.Tensor, limit: float) -> torch.Tensor:
    return gradient * min(1.0, limit / float(gradient.norm()))


def logging(learner: LearnerFile) -> str:
    """The iteration, its loss and its learning rate, every log_interval iterations."""
    logs, how = _logs(_events(learner))
    if not logs:
        return "not compared: nothing is printed, and there is no log()"
    got = [n for n, _, _ in logs]
    every = [*range(0, MAX_ITERS, LOG_INTERVAL)]
    ends = [[], [MAX_ITERS - 1]] if how == "printed" else [[]]
    if got not in [start + end for start in (every, every[1:], [n - 1 for n in every[1:]]) for end in ends]:
        raise Failure(
            what=f"a log of the training loss every {LOG_INTERVAL} iterations",
            expected=every,
            got=got,
            hint="In which iterations is n a multiple of log_interval, and is it their loss that is logged?",
        )
    which = set()
    for n, losses, rates in logs:
        batches = _run(FREE)[n][1]
        right = {"of the whole batch": sum(batches) / len(batches), "of its last batch": batches[-1]}
        fitting = {name for name, loss in right.items() if any(_near(each, loss) for each in losses)}
        if not fitting:
            raise Failure(
                what="the log has the training loss",
                expected=f"{right['of the whole batch']:.4f} in iteration {n}, the mean of its batches",
                got=", ".join(losses),
                hint="Is the loss that is logged the divided one, or an earlier iteration's?",
            )
        which |= fitting if len(fitting) == 1 else set()
        if not any(_near(each, RATES[n]) for each in rates):
            raise Failure(
                what="the log has the learning rate",
                expected=f"{RATES[n]:.4g} in iteration {n}",
                got=", ".join(rates),
                hint="Which rate did the update of this iteration use?",
            )
    return f"every {LOG_INTERVAL} iterations: the loss {' or '.join(which)}, the learning rate; {how}"


def _near(shown: str, number: float) -> bool:
    """Whether a number as it was logged or printed is this one, to its digits."""
    mantissa, _, exponent = shown.lower().partition("e")
    digits = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return abs(float(shown) - number) <= max(0.51 * 10.0**-digits, 1e-4) and (digits > 0 or number == float(shown))


def _logs(events: list[dict]) -> tuple[list[tuple[int, list[str], list[str]]], str]:
    """Iterations that are logged, what may be the loss, what may be the rate; and how they are logged."""
    given = [(each["n"], [repr(each["loss"])], [repr(each["lr"])]) for each in events if each["kind"] == "log"]
    if given:
        return given, "by log()"
    done, printed = 0, []
    for event in events:
        done += event["kind"] == "step"
        if event["kind"] == "print" and done:
            printed.append((done - 1, NUMBER.findall(event["text"])))
    losses = [losses for _, losses in _run(FREE)]
    logs = [
        (n, numbers, numbers)
        for n, numbers in printed
        if any(_near(each, loss) for each in numbers for loss in (losses[n][-1], sum(losses[n]) / len(losses[n])))
    ]
    return logs or [(n, numbers, numbers) for n, numbers in printed], "printed"


def evaluation(learner: LearnerFile) -> str:
    """estimate_loss every eval_iters iterations."""
    done, got = 0, []
    for event in _events(learner):
        done += event["kind"] == "step"
        if event["kind"] == "evaluation":
            got.append(done)
    every = [*range(0, MAX_ITERS, EVAL_ITERS)]
    allowed = [start + end for start in (every, every[1:], [n + 1 for n in every]) for end in ([], [MAX_ITERS])]
    if got not in allowed:
        raise Failure(
            what=f"an evaluation every {EVAL_ITERS} iterations",
            expected=f"after {', '.join(map(str, every))} updates",
            got=f"after {', '.join(map(str, got)) or 'none'}",
            hint="In which iterations is n a multiple of eval_iters?",
        )
    return f"every {EVAL_ITERS} iterations"


def checkpoint(learner: LearnerFile) -> str:
    """save where the validation loss is the lowest so far."""
    events = _events(learner)
    saved = [event.get("loss") for event in events if event["kind"] == "save"]
    seen = LOSSES[: sum(event["kind"] == "evaluation" for event in events)]
    lowest = [
        loss for loss, before in zip(seen, itertools.accumulate([9.0, *seen], min), strict=False) if loss < before
    ]
    takes_save = "save" in learner.process.ask("loop")["takes"]
    if not saved and not takes_save:
        return "none: the exercise does not require it"
    if saved != (lowest if takes_save else [None] * len(lowest)):
        raise Failure(
            what="a checkpoint where the validation loss is the lowest so far",
            expected=f"of {seen}: {lowest}",
            got=saved if takes_save else f"{len(saved)} checkpoints",
            hint="With what is a new validation loss compared, and what is remembered?",
        )
    return "where the validation loss is the lowest so far"


def _events(learner: LearnerFile, grad_clip: float = FREE) -> list[dict]:
    how = {"rates": RATES, "losses": LOSSES, "settings": SETTINGS, "grad_clip": grad_clip}
    return learner.process.ask("train", batches=_batches(), **how)


def _steps(learner: LearnerFile, grad_clip: float = FREE) -> list[dict]:
    return [event for event in _events(learner, grad_clip) if event["kind"] == "step"]


def _batches() -> list[list[torch.Tensor]]:
    """x and y (N, T) for each batch, and a few more than are needed."""
    generator = torch.Generator().manual_seed(1)
    count = MAX_ITERS * ACCUMULATION + 20
    return [[torch.randint(V, (N, T), generator=generator) for _ in range(2)] for _ in range(count)]


def _run(grad_clip: float) -> list[tuple[torch.Tensor, list[float]]]:
    """Each iteration's gradient, clipped, and the losses of its batches."""
    table, made = torch.zeros(V, V), []
    for n in range(MAX_ITERS):
        losses, slopes = _learned(table, n)
        gradient = _cut(torch.stack(slopes).mean(dim=0), grad_clip)
        table = table - RATES[n] * gradient
        made.append((gradient, losses))
    return made


def _learned(table: torch.Tensor, n: int) -> tuple[list[float], list[torch.Tensor]]:
    """The losses of iteration n's batches, and their gradients."""
    losses: list[float] = []
    slopes: list[torch.Tensor] = []
    for x, y in _batches()[n * ACCUMULATION : (n + 1) * ACCUMULATION]:
        leaf = table.clone().requires_grad_()
        loss = F.cross_entropy(leaf[x].flatten(0, 1), y.flatten())
        losses.append(loss.item())
        slopes += torch.autograd.grad(loss, [leaf])
    return losses, slopes


STAGES = [identity, interface, length, mode, schedule, accumulation, clipping, logging, evaluation, checkpoint]
