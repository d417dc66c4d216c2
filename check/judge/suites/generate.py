"""generate(model, x, max_new_tokens, temperature=1.0)."""

from check.judge.learner_file import B, LearnerFile
from check.judge.result import Failure
from check.judge.stages.generation import Writer
from check.judge.stages.start import contract, identity

import torch

T = 7
V = 65  # as many as in the text: a built-in top-k or nucleus leaves some out


def interface(learner: LearnerFile) -> str:
    """generate(model, x, max_new_tokens, temperature=1.0)."""
    return contract(learner, "generate", try_it=lambda: _writer(learner).write(learner.tokens(B, 2, V), 1))


def shapes(learner: LearnerFile) -> str:
    """(B, T) → (B, T + max_new_tokens), the prompt kept."""
    for rows, length, more in ((2, 3, 5), (1, 1, 1), (B, 3, 3), (B, 2, 0), (2, 3, 40), (1, 1, 400)):
        got = _writer(learner).write(learner.tokens(rows, length, V), more, temperature=3.0)["text"]
        if got.dtype != torch.int64 or not ((got >= 0) & (got < V)).all():
            raise Failure(
                what="tokens are indices into the vocabulary",
                expected="int64 from 0 to V - 1",
                got=got.dtype,
                hint="What does the draw return: an index, or a probability?",
            )
    return "appends to its prompt, also nothing"


def context(learner: LearnerFile) -> str:
    """The model reads the last block_size tokens, with those that it has just written."""
    for length in (1, T, T + 3):
        made = _writer(learner).write(learner.tokens(B, length, V), 4)
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


def sampling(learner: LearnerFile) -> str:
    """Each row draws from the softmax of its last logits, divided by the temperature."""
    writer = _writer(learner)
    for length in (3, T + 3):
        writer.likeliest(writer.write(learner.tokens(B, length, V), 4, 1e-4), length)
    writer.draws(learner.tokens(1, 3, V))
    return "draws each row from the softmax, at any temperature"


def _steps(calls: list[torch.Tensor]) -> list[torch.Tensor]:
    """What was read for each new token (B, T); of calls with a row each, B are one step."""
    if len(calls) % B or any(len(call) != 1 for call in calls):
        return calls
    alike = [calls[n : n + B] for n in range(0, len(calls), B)]
    if any(len({call.shape for call in step}) > 1 for step in alike):  # a row is written to its end, then the next
        alike = [calls[n :: len(calls) // B] for n in range(len(calls) // B)]
    return [torch.cat(step) for step in alike]


def _notes(learner: LearnerFile) -> str:
    """The mode in which it writes; if a course does not ask for a mode, any is right."""
    prompt = learner.tokens(B, 2, V)
    writing = [_writer(learner).write(prompt, 2, training=training) for training in (True, False)]
    notes = {
        "in training mode (dropout acts while it writes)": writing[0]["trained"],
        "with gradients (memory grows with each token)": any(each["gradients"] for each in writing),
        "leaving another mode behind (a run that samples in between goes on in it)": writing[0]["training"] is not True
        or writing[1]["training"] is not False,
    }
    found = [note for note, is_so in notes.items() if is_so]
    return f"; note: it writes {', '.join(found)}" if found else "; evaluation mode, no gradients, the mode as before"


def _writer(learner: LearnerFile) -> Writer:
    """generate, with a model whose logits the check knows."""
    model = {"table": 1.5 * torch.randn(V, V, generator=torch.Generator().manual_seed(3)), "block_size": T}
    ask = learner.process.ask
    return Writer(
        lambda **text: ask("predictor", **model, **text),
        lambda tokens: ask("predictor_logits", **model, tokens=tokens),
        T,
        V,
    )


STAGES = [identity, interface, shapes, context, sampling]
