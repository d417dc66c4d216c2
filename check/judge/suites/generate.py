"""generate(model, x, max_new_tokens, temperature=1.0)."""

import contextlib

from check.judge.learner_file import LearnerFile
from check.judge.result import Failure
from check.judge.stages.generation import RANKS, left_out, named_draws, returned
from check.judge.suites.pieces import B, T, contract, registry

import torch
from torch.nn import functional as F

V = 65  # as many as in the text: a built-in top-k or nucleus leaves some out
STAGES, stage = registry()


@stage
def interface(learner: LearnerFile) -> str:
    """generate(model, x, max_new_tokens, temperature=1.0)."""
    found = contract(learner, "generate")
    with contextlib.suppress(Failure):  # a later stage says more about it
        _written(learner, _prompt(learner, B, 2), 1)
    return found


@stage
def shapes(learner: LearnerFile) -> str:
    """(B, T) → (B, T + max_new_tokens), the prompt kept."""
    for rows, length, more in ((2, 3, 5), (1, 1, 1), (B, 3, 3), (B, 2, 0), (2, 3, 40)):
        prompt = _prompt(learner, rows, length)
        got = _written(learner, prompt, more, temperature=3.0)["text"]
        if (
            not isinstance(got, torch.Tensor)
            or tuple(got.shape) != (rows, length + more)
            or not torch.equal(got[:, :length], prompt)
        ):
            said, hint = returned(got, prompt, more)
            raise Failure(
                what="the new tokens come after the prompt",
                expected=f"{(rows, length + more)}, the prompt of {length} and {more} new tokens",
                got=said,
                hint=hint,
            )
        if got.dtype != torch.int64 or not ((got >= 0) & (got < V)).all():
            raise Failure(
                what="tokens are indices into the vocabulary",
                expected="int64 from 0 to V - 1",
                got=got.dtype,
                hint="What does the draw return: an index, or a probability?",
            )
    return "appends to its prompt, also nothing"


@stage
def context(learner: LearnerFile) -> str:
    """The model reads the last block_size tokens, with those that it has just written."""
    for length in (1, T, T + 3):
        made = _written(learner, _prompt(learner, B, length), 4)
        for t, seen in enumerate(_steps(made["calls"]), start=length):
            expected = made["text"][:, max(0, t - T) : t]
            if not torch.equal(seen, expected):
                raise Failure(
                    what="the model reads the last block_size tokens",
                    expected=f"tokens {max(0, t - T)} to {t - 1}: {expected[0].tolist()}",
                    got=seen[0].tolist(),
                    hint="Which end of the text is cut off, and to which length?",
                )
    writes = _notes(learner)
    if not made["calls"]:
        return f"not compared: generate does not call the model, but something in it{writes}"
    return f"crops to the last {T} tokens{writes}"


@stage
def sampling(learner: LearnerFile) -> str:
    """Each row draws from the softmax of its last logits, divided by the temperature."""
    prompt = _prompt(learner, B, 3)
    rows = prompt[:1].expand(4000, -1)
    for length in (3, T + 3):
        likeliest = _written(learner, _prompt(learner, B, length), 4, 1e-4)["text"]
        for t in range(length, length + 4):
            logits = _logits(learner, likeliest[:, max(0, t - T) : t])[:, -1]
            if (logits.amax(-1) - logits.gather(1, likeliest[:, t : t + 1])[:, 0]).max() > 1e-2:
                said, hint = ("", RANKS) if not likeliest[:, length:].any() else _named(learner, rows)
                raise Failure(
                    what="near temperature 0 each token is the likeliest after the last block_size tokens",
                    expected=logits.argmax(dim=-1).tolist(),
                    got=f"{likeliest[:, t].tolist()}" + f": tokens come {said}" * bool(said),
                    hint=hint,
                )
    for temperature in (1.0, 2.0, 0.5):
        drawn, logits = _drawn(learner, rows, temperature), _logits(learner, rows[:1])[0, -1]
        expected = F.softmax(logits / temperature, dim=-1)
        if (drawn - expected).abs().max() > 0.05:  # of 4,000 draws: six standard deviations
            said, hint = _named(learner, rows)
            raise Failure(
                what=f"at temperature {temperature:g} tokens come as often as the softmax says",
                expected=f"the likeliest in {expected.max():.0%}",
                got=f"in {drawn[expected.argmax()]:.0%}" + f": tokens come {said}" * bool(said),
                hint=hint,
            )
    _every_token(learner, rows)
    made, other = (_written(learner, _prompt(learner, 40, 2), 4, 1e3, seed=seed) for seed in (1, 2))
    if torch.equal(made["next"], other["next"]) or torch.equal(made["text"], other["text"]):
        raise Failure(
            what="generate draws from PyTorch's global generator, and does not seed it",
            expected="other texts after other seeds",
            got="the same",
            hint="Which line sets a seed, or makes its own generator?",
        )
    return "draws each row from the softmax, at any temperature"


def _steps(calls: list[torch.Tensor]) -> list[torch.Tensor]:
    """What was read for each new token (B, T); of calls with a row each, B are one step."""
    if len(calls) % B or any(len(call) != 1 for call in calls):
        return calls
    alike = [calls[n : n + B] for n in range(0, len(calls), B)]
    if any(len({call.shape for call in step}) > 1 for step in alike):  # a row is written to its end, then the next
        alike = [calls[n :: len(calls) // B] for n in range(len(calls) // B)]
    return [torch.cat(step) for step in alike]


def _drawn(learner: LearnerFile, rows: torch.Tensor, temperature: float) -> torch.Tensor:
    """How often each token comes after equal rows."""
    return _written(learner, rows, 1, temperature, seed=7)["text"][:, -1].bincount(minlength=V) / len(rows)


def _named(learner: LearnerFile, rows: torch.Tensor) -> tuple[str, str]:
    """What is drawn after equal rows, and the hint that leads to why."""
    return named_draws(_logits(learner, rows[:1])[0], lambda temperature: _drawn(learner, rows, temperature))


def _notes(learner: LearnerFile) -> str:
    """The mode in which it writes; if a course does not ask for a mode, any is right."""
    writing = [_written(learner, _prompt(learner, B, 2), 2, training=training) for training in (True, False)]
    notes = {
        "in training mode (dropout acts while it writes)": writing[0]["trained"],
        "with gradients (memory grows with each token)": any(each["gradients"] for each in writing),
        "leaving another mode behind (a run that samples in between goes on in it)": writing[0]["training"] is not True
        or writing[1]["training"] is not False,
    }
    found = [note for note, is_so in notes.items() if is_so]
    return f"; note: it writes {', '.join(found)}" if found else "; evaluation mode, no gradients, the mode as before"


def _every_token(learner: LearnerFile, rows: torch.Tensor) -> None:
    """At a very high temperature all tokens come about equally often: 60 times each."""
    drawn = _drawn(learner, rows, 1e4)
    if not drawn.all():
        said, hint = left_out(_logits(learner, rows[:1])[0, -1], drawn)
        raise Failure(
            what="at a very high temperature every token comes",
            expected=f"all {V} in {len(rows)} draws",
            got=said,
            hint=hint,
        )


def _table() -> torch.Tensor:
    return 1.5 * torch.randn(V, V, generator=torch.Generator().manual_seed(3))


def _logits(learner: LearnerFile, tokens: torch.Tensor) -> torch.Tensor:
    """What generate's model predicts: (B, T, V)."""
    return learner.process.ask("predictor_logits", table=_table(), block_size=T, tokens=tokens)


def _prompt(learner: LearnerFile, rows: int, length: int) -> torch.Tensor:
    return learner.tokens(rows, length, V)


def _written(
    learner: LearnerFile,
    prompt: torch.Tensor,
    count: int,
    temperature: float = 1.0,
    seed: int = 0,
    training: bool = False,
) -> dict:
    return learner.process.ask(
        "predictor",
        table=_table(),
        block_size=T,
        tokens=prompt,
        count=count,
        temperature=temperature,
        seed=seed,
        training=training,
    )
