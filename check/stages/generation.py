"""How a model writes."""

import math
from dataclasses import replace

from check.notebook import source_of
from check.result import Failure
from check.subject import B, Model, Subject

import torch
from torch.nn import functional as F

DRAWS = 4000


def generation(subject: Subject) -> str:
    """generate appends what the model predicts from the last block_size tokens."""
    if subject.session.ask("cannot_write", model=subject.small_model().number) == "no such method":
        return "not compared: GPT has no generate yet"
    sizes = subject.small_sizes
    model = subject.fill(subject.build(sizes, dropout=0.9)) if subject.task.dropout else subject.small_model()
    prompt = subject.tokens(B, sizes.T + 3, sizes.V)
    made = _generate(subject, model, prompt, 8, temperature=1e-4, training=True)
    free = subject.name == "gpt"  # its document asks for no mode
    source = source_of(subject.path)
    as_called = free or _sets_mode(source)
    if as_called and made["trained"]:
        if b".generate(" in source:
            subject.note("generate writes in the mode in which it is called: in training mode with dropout")
        made |= _generate(subject, model, prompt, 8, temperature=1e-4, training=False)
    _likeliest(subject, model, made, prompt)
    if made["trained"] and subject.task.dropout and not as_called:
        raise Failure(
            what="the model writes in evaluation mode",
            expected="model.training False while it writes",
            got="True",
            question="Is dropout off while the model writes?",
        )
    if made["gradients"] and not free:
        raise Failure(
            what="writing keeps no gradients",
            expected="torch.no_grad() or inference_mode()",
            got="gradients are recorded for every token",
            question="What grows with every token, for a backward pass that never comes?",
        )
    if made["gradients"]:
        subject.note("generate keeps gradients for every token")
    for training in (True, False):
        if _generate(subject, model, prompt, 2, temperature=1.0, training=training)["training"] != training:
            subject.note(f"generate called in {MODES[training]} mode leaves the model in {MODES[not training]} mode")
    _draws(subject)
    return "crops, keeps its prompt, draws by temperature from all tokens, leaves random numbers alone"


def _sets_mode(source: bytes) -> bool:
    """Whether whoever calls generate sets evaluation mode: print_sample, or the last mode set before the last call."""
    if b".generate(" not in source:
        return b"print_sample(" in source
    before = source.rpartition(b".generate(")[0]
    return before.rfind(b".eval()") > before.rfind(b".train()")


RANKS = "Is what is drawn a token, or its place in a sorted list?"
CONTEXT = "Which position's logits tell the next token, and which end of the text is cut off?"
TEMPERATURE = (
    "Does each row draw from all of the softmax of logits / temperature? Noise in place of a draw is -log(-log(u))."
)


def question_of_draws(logits: torch.Tensor, drawn: torch.Tensor, temperature: float) -> str:
    """What leads to why tokens come as often as they do (V), for the last logits (V) and a temperature."""
    p = F.softmax(logits, dim=-1)
    frequencies = {
        CONTEXT: F.softmax(logits / temperature, dim=-1),
        "Is the temperature a divisor of the logits, or a factor?": F.softmax(logits * temperature, dim=-1),
        "Does the temperature act before the softmax? What divides all probabilities changes none.": p,
        "Is a softmax taken twice, or along another axis than the last?": F.softmax(p / temperature, dim=-1),
    }
    if drawn.max() == 1 and drawn.argmax() == logits.argmax():
        return "Is the likeliest token taken, where each row should draw from the softmax?"
    if drawn.max() == 1:
        return "Does each row draw a number of its own, and is it a token or its place in a sorted list?"
    distance = {question: float((drawn - each).abs().sum()) for question, each in frequencies.items()}
    likeliest = min(distance, key=distance.__getitem__)
    return likeliest if distance[likeliest] < 0.3 else TEMPERATURE


def _question(subject: Subject, model: Model, prompt: torch.Tensor) -> str:
    """The question that leads to what is drawn after a short prompt at temperature 2."""
    short = prompt[:, :3]
    text = _generate(subject, model, short.expand(DRAWS, -1), 1, 2.0, training=False, seed=5)["text"]
    drawn = text[:, -1].bincount(minlength=model.sizes.V) / DRAWS
    return question_of_draws(subject.logits(model, short)[0, -1], drawn, 2.0)


MODES = {True: "training", False: "evaluation"}


def _likeliest(subject: Subject, model: Model, made: dict, prompt: torch.Tensor) -> None:
    """Raise Failure where tokens at a temperature near 0 are not the likeliest."""
    T, text = model.sizes.T, made["text"]
    new = text[:, prompt.shape[1] :]
    for t in range(prompt.shape[1], text.shape[1]):
        logits = subject.logits(model, text[:, t - T : t])[:, -1]
        likeliest = logits.gather(1, text[:, t : t + 1])[:, 0]
        if (logits.amax(dim=-1) - likeliest).max() <= 1e-2:
            continue
        question = _question(subject, model, prompt[:1])
        if subject.task.dropout and made["trained"]:
            question = "Is dropout off while the model writes?"
        elif (new == new[0, 0]).all():
            question = RANKS
        raise Failure(
            what="near temperature 0 each token is the likeliest",
            expected=logits.argmax(dim=-1).tolist(),
            got=text[:, t].tolist(),
            question=question,
        )


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


def _draws(subject: Subject) -> None:
    """Tokens come as often as the softmax says, with the global generator, all of them."""
    sizes = replace(subject.small_sizes, V=65)
    model = subject.fill(subject.build(sizes), loud=0.7)
    prompt = subject.tokens(1, 3, sizes.V)
    text = _generate(subject, model, torch.zeros(DRAWS, 1, dtype=torch.long), 1, 1e5, training=False, seed=3)["text"]
    missing = (text[:, 1:].flatten().bincount(minlength=sizes.V) == 0).nonzero()[:, 0].tolist()
    if missing:  # each token is expected 62 times; by chance one is missing in 7 of 10²⁶ calls
        raise Failure(
            what="every token can be drawn",
            expected=f"all {sizes.V} among {DRAWS} at a very high temperature",
            got=f"never {', '.join(map(str, missing[:8]))}{' and others' * (len(missing) > 8)}",
            question="Which tokens are left out: token 0 as an end, or all but the likeliest (top-k, top-p)?"
            if len(missing) < sizes.V - 1
            else _question(subject, model, prompt),
        )
    expected_logits = subject.logits(model, prompt)[0, -1]
    rows = prompt.expand(DRAWS, -1)
    for temperature in (1.0, 2.0, 0.5):
        text = _generate(subject, model, rows, 1, temperature, training=False, seed=11)["text"]
        drawn = text[:, -1].bincount(minlength=sizes.V) / DRAWS
        expected = F.softmax(expected_logits / temperature, dim=-1)
        if ((drawn - expected).abs() > _most_by_chance(expected)).any():
            question = question_of_draws(expected_logits, drawn, temperature)
            furthest = int((drawn - expected).abs().argmax())
            raise Failure(
                what=f"at temperature {temperature:g} tokens come as often as the softmax says",
                expected=f"token {furthest} in {expected[furthest]:.1%}",
                got=f"in {drawn[furthest]:.1%}",
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


def _most_by_chance(p: torch.Tensor) -> torch.Tensor:
    """How far a frequency in DRAWS draws is from p at most, but for one case in 10¹² (Bernstein's inequality)."""
    exponent = math.log(2e12)
    return (exponent / 3 + (exponent**2 / 9 + 2 * DRAWS * exponent * p * (1 - p)).sqrt()) / DRAWS
