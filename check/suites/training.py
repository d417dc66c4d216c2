"""train(model, optimizer, get_batch, get_lr, estimate_loss, …): a course's training loop on a small problem."""

import contextlib
import itertools

from check.result import Failure
from check.subject import Subject, close, off
from check.suites.pieces import contract, registry

import torch
from torch.nn import functional as F

V, N, T = 8, 3, 5
MAX_ITERS, EVAL_ITERS, LOG_INTERVAL, ACCUMULATION = SETTINGS = [14, 3, 4, 2]
FREE = 1e9  # a clip that does nothing
LOSSES = [3.0, 2.0, 2.5, 1.0, 1.5, 1.7, 1.6, 1.8]  # what each evaluation gives
STAGES, stage = registry()


@stage
def interface(subject: Subject) -> str:
    """train and its twelve arguments."""
    found = contract(subject, train=[None] * 12)
    with contextlib.suppress(Failure):  # a later stage says more about it
        _events(subject)
    return found


@stage
def length(subject: Subject) -> str:
    """max_iters updates, of so many batches each."""
    events = _events(subject)
    for kind, expected, question in (
        ("step", MAX_ITERS, "After how many updates does the loop stop, and is there one an iteration?"),
        ("batch", MAX_ITERS * ACCUMULATION, "How many batches does one iteration read?"),
    ):
        got = sum(event["kind"] == kind for event in events)
        if got != expected:
            name = "updates" if kind == "step" else "batches"
            raise Failure(what=f"the number of {name}", expected=expected, got=got, question=question)
    return f"{MAX_ITERS} updates of {ACCUMULATION} batches"


@stage
def mode(subject: Subject) -> str:
    """Training mode in updates, evaluation mode in evaluations."""
    for event in _events(subject):
        wanted = event["kind"] == "step"
        if event["kind"] in ("step", "evaluation") and event["training"] != wanted:
            raise Failure(
                what=f"the mode in which the model is in {'an update' if wanted else 'an evaluation'}",
                expected=f"model.training {wanted}",
                got=event["training"],
                question="What does an evaluation leave behind, and what does it need?",
            )
    return "updates in training mode, evaluations in evaluation mode"


@stage
def schedule(subject: Subject) -> str:
    """Each update has its own learning rate, in every group."""
    steps = [event for event in _events(subject) if event["kind"] == "step"]
    for n, event in enumerate(steps):
        if any(abs(rate - _rates()[n]) > 1e-9 for rate in event["lr"]):
            raise Failure(
                what="the learning rate of an update is get_lr of its iteration",
                expected=f"{_rates()[n]:.4g} in iteration {n}, in every group",
                got=", ".join(f"{rate:.4g}" for rate in event["lr"]),
                question="When is the rate set, for which groups, and from where is the iteration counted?",
            )
    return "get_lr(n) in every group"


@stage
def accumulation(subject: Subject) -> str:
    """Several batches give the gradient of one large batch."""
    steps = [event for event in _events(subject) if event["kind"] == "step"]
    for n, (event, expected) in enumerate(zip(steps, _gradients(FREE), strict=True)):
        got = event["gradient"]
        if not close(got, expected, 1e-4):
            question = "By what is each batch's loss divided, and where does the gradient begin at zero again?"
            raise Failure(
                what=f"{ACCUMULATION} batches give the gradient of one large batch",
                expected=f"norm {expected.norm():.4f} in iteration {n}",
                got=f"norm {got.norm():.4f}",
                question=question,
            )
    return "equal to the gradient of one large batch"


@stage
def clipping(subject: Subject) -> str:
    """The norm of the accumulated gradient is clipped."""
    limit = 0.1
    steps = [event for event in _events(subject, limit) if event["kind"] == "step"]
    for n, (event, expected) in enumerate(zip(steps, _gradients(limit), strict=True)):
        got = event["gradient"]
        if not close(got, expected, 2e-3):
            raise Failure(
                what=f"the gradient's norm is clipped to grad_clip, {limit}",
                expected=f"norm {expected.norm():.4f} in iteration {n}, direction kept",
                got=f"norm {got.norm():.4f}, {off(got, expected)}",
                question="What is clipped, when, and by its norm or its values?",
            )
    return "to its norm, once an update"


@stage
def logging(subject: Subject) -> str:
    """The iteration, its loss and its learning rate, every log_interval iterations."""
    logs = [event for event in _events(subject) if event["kind"] == "log"]
    got = [event["n"] for event in logs]
    every = [*range(0, MAX_ITERS, LOG_INTERVAL)]
    if got not in (every, every[1:]):
        raise Failure(
            what=f"a log every {LOG_INTERVAL} iterations",
            expected=every,
            got=got,
            question="In which iterations is n a multiple of log_interval?",
        )
    for event in logs:
        n = event["n"]
        losses = _losses()[n]
        if all(abs(event["loss"] - loss) > 1e-4 for loss in (sum(losses) / len(losses), losses[-1])):
            raise Failure(
                what="the log has the training loss",
                expected=f"{sum(losses) / len(losses):.4f} in iteration {n}, the mean of its batches",
                got=f"{event['loss']:.4f}",
                question="Is the loss that is logged the divided one, or an earlier iteration's?",
            )
        if abs(event["lr"] - _rates()[n]) > 1e-9:
            raise Failure(
                what="the log has the learning rate",
                expected=f"{_rates()[n]:.4g} in iteration {n}",
                got=f"{event['lr']:.4g}",
                question="Which rate did the update of this iteration use?",
            )
    return f"every {LOG_INTERVAL} iterations: iteration, loss, learning rate"


@stage
def evaluation(subject: Subject) -> str:
    """estimate_loss every eval_iters iterations."""
    done, got = 0, []
    for event in _events(subject):
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
            question="In which iterations is n a multiple of eval_iters?",
        )
    return f"every {EVAL_ITERS} iterations"


@stage
def checkpoint(subject: Subject) -> str:
    """save where the validation loss is the lowest so far."""
    events = _events(subject)
    saved = [event["loss"] for event in events if event["kind"] == "save"]
    seen = LOSSES[: sum(event["kind"] == "evaluation" for event in events)]
    lowest = [
        loss for loss, before in zip(seen, itertools.accumulate([9.0, *seen], min), strict=False) if loss < before
    ]
    if saved != lowest:
        raise Failure(
            what="a checkpoint where the validation loss is the lowest so far",
            expected=f"of {seen}: {lowest}",
            got=saved,
            question="With what is a new validation loss compared, and what is remembered?",
        )
    return "where the validation loss is the lowest so far"


def _events(subject: Subject, grad_clip: float = FREE) -> list[dict]:
    return subject.session.ask(
        "train", batches=_batches(), rates=_rates(), losses=LOSSES, settings=SETTINGS, grad_clip=grad_clip
    )


def _batches() -> list[list[torch.Tensor]]:
    """x and y (N, T) for each batch, and a few more than are needed."""
    generator = torch.Generator().manual_seed(1)
    count = MAX_ITERS * ACCUMULATION + 20
    return [[torch.randint(V, (N, T), generator=generator) for _ in range(2)] for _ in range(count)]


def _rates() -> list[float]:
    return [0.5 + 0.1 * n for n in range(MAX_ITERS + 3)]


def _run(grad_clip: float) -> list[tuple[torch.Tensor, list[float]]]:
    """Each iteration's gradient, clipped, and the losses of its batches."""
    table, batches, made = torch.zeros(V, V), _batches(), []
    for n in range(MAX_ITERS):
        leaf, losses = table.clone().requires_grad_(), []
        for x, y in batches[n * ACCUMULATION : (n + 1) * ACCUMULATION]:
            losses.append(F.cross_entropy(leaf[x].flatten(0, 1), y.flatten()))
        (gradient,) = torch.autograd.grad(torch.stack(losses).mean(), [leaf])
        gradient = gradient * min(1.0, grad_clip / float(gradient.norm()))
        table = table - _rates()[n] * gradient
        made.append((gradient, [loss.item() for loss in losses]))
    return made


def _gradients(grad_clip: float) -> list[torch.Tensor]:
    return [gradient for gradient, _ in _run(grad_clip)]


def _losses() -> list[list[float]]:
    return [losses for _, losses in _run(FREE)]
