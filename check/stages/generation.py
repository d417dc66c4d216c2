"""How a model writes."""

from check.result import Failure
from check.subject import B, Model, Subject

import torch
from torch.nn import functional as F


def generation(subject: Subject) -> str:
    """generate appends what the model predicts from the last block_size tokens, and leaves the model as it was."""
    small = subject.small_model()
    model = subject.fill(subject.build(small.sizes, dropout=0.9)) if subject.task.dropout else small
    T, V = small.sizes.T, small.sizes.V
    prompt = subject.tokens(B, T + 3, V)
    made = _generate(subject, model, prompt, 8, temperature=1e-4, training=True)
    for t in range(T + 3, T + 11):
        logits = subject.logits(model, made["text"][:, t - T : t])[:, -1]
        likeliest = logits.gather(1, made["text"][:, t : t + 1])[:, 0]
        if (logits.amax(dim=-1) - likeliest).max() > 1e-2:
            raise Failure(
                what="near temperature 0 each token is the likeliest",
                expected=logits.argmax(dim=-1).tolist(),
                got=made["text"][:, t].tolist(),
                question="Is dropout off while the model writes?"
                if subject.task.dropout and made["trained"]
                else "Is the temperature a divisor of the logits, and the context the last block_size tokens?",
            )
    if made["trained"] and subject.task.dropout:
        raise Failure(
            what="the model writes in evaluation mode",
            expected="model.training False while it writes",
            got="True",
            question="Is dropout off while the model writes?",
        )
    if made["gradients"]:
        raise Failure(
            what="writing keeps no gradients",
            expected="torch.no_grad() or inference_mode()",
            got="gradients are recorded for every token",
            question="What grows with every token, for a backward pass that never comes?",
        )
    for training in (True, False):
        left = _generate(subject, model, prompt, 2, temperature=1.0, training=training)["training"]
        if left != training:
            raise Failure(
                what="generate leaves the mode as it was",
                expected=f"model.training {training}, as before",
                got=left,
                question="What happens to a run that samples in between, or to an evaluation?",
            )
    _draws(subject, model)
    return "crops, keeps its prompt, draws by temperature, leaves mode and random numbers alone"


def _generate(
    subject: Subject, model: Model, prompt: torch.Tensor, count: int, temperature: float, training: bool, seed: int = 0
) -> dict:
    made = subject.session.ask(
        "generate",
        model=model.number,
        tokens=prompt,
        count=count,
        temperature=temperature,
        seed=seed,
        training=training,
    )
    text = made["text"]
    wanted = (len(prompt), prompt.shape[1] + count)
    if (
        not isinstance(text, torch.Tensor)
        or tuple(text.shape) != wanted
        or not torch.equal(text[:, : prompt.shape[1]], prompt)
    ):
        question = "What does generate return: all tokens, or the new ones?"
        if isinstance(text, torch.Tensor) and text.ndim == 2 and prompt.shape[1] < text.shape[1] < wanted[1]:
            question = "Does it stop before it has written all tokens?"
        raise Failure(
            what="generate appends to its prompt",
            expected=f"the prompt and {count} tokens, {wanted}",
            got=tuple(text.shape) if isinstance(text, torch.Tensor) else type(text).__name__,
            question=question,
        )
    return made


def _draws(subject: Subject, model: Model) -> None:
    """Tokens come as often as the softmax says, with the global generator, and token 0 is one like others."""
    V = model.sizes.V
    prompt = subject.tokens(1, 3, V)
    expected_logits = subject.logits(model, prompt)[0, -1]
    rows = prompt.expand(4000, -1)
    for temperature in (1.0, 2.0, 0.5):
        text = _generate(subject, model, rows, 1, temperature, training=False, seed=11)["text"]
        drawn = text[:, -1].bincount(minlength=V) / len(rows)
        expected = F.softmax(expected_logits / temperature, dim=-1)
        if (drawn - expected).abs().max() > 0.05:  # of 4,000 draws: six standard deviations
            question = "Is the temperature a divisor of the logits, before the softmax?"
            if drawn.max() == 1:
                question = "Are tokens drawn from the probabilities, or is the likeliest taken?"
            raise Failure(
                what=f"at temperature {temperature:g} tokens come as often as the softmax says",
                expected=f"the likeliest in {expected.max():.0%}",
                got=f"in {drawn[expected.argmax()]:.0%}",
                question=question,
            )
    made = [_generate(subject, model, rows[:50], 4, 1e3, training=False, seed=seed) for seed in (1, 2)]
    if torch.equal(made[0]["next"], made[1]["next"]) or torch.equal(made[0]["text"], made[1]["text"]):
        raise Failure(
            what="generate draws from PyTorch's global generator, and does not seed it",
            expected="other texts after other seeds",
            got="the same",
            question="Which line sets a seed, or makes a generator of its own?",
        )
    text = _generate(subject, model, torch.zeros(40, 1, dtype=torch.long), 12, 1e3, training=False, seed=3)["text"]
    if not (text[:, 1:] == 0).any():
        raise Failure(
            what="token 0 is a token like others",
            expected="among 480 tokens at a high temperature",
            got="never",
            question="What treats token 0 as an end, or leaves it out?",
        )
