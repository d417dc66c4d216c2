"""How a model writes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from check.isolated.notebook import source_of
from check.judge.learner_file import B, LearnerFile, Model
from check.judge.result import Failure
from common.exercises import WHOLE

import torch
from torch.nn import functional as F

DRAWS = 4000


@dataclass
class Writer:
    """What writes in the learner's process. `ask`: its text for a prompt; `logits`: what it predicts, (B, T, V)."""

    ask: Callable[..., dict]
    logits: Callable[[torch.Tensor], torch.Tensor]
    T: int
    V: int

    def write(
        self, prompt: torch.Tensor, count: int, temperature: float = 1.0, training: bool = False, seed: int = 0
    ) -> dict:
        """The text, and what else is known of it. Raises Failure where it is not the prompt and `count` tokens."""
        made = self.ask(tokens=prompt, count=count, temperature=temperature, seed=seed, training=training)
        (rows, length), text = prompt.shape, made["text"]
        wanted = (rows, length + count)
        is_right = isinstance(text, torch.Tensor) and tuple(text.shape) == wanted
        if not is_right or not torch.equal(text[:, :length], prompt):
            got, hint = _returned(text, prompt, count)
            raise Failure(
                what="generate appends to its prompt",
                expected=f"the prompt and {count} tokens, {wanted}",
                got=got,
                hint=hint,
            )
        return made

    def likeliest(self, made: dict, length: int, hint: str = "") -> None:
        """Raise Failure where tokens at a temperature near 0, after a prompt of this length, are not the likeliest."""
        text = made["text"]
        new = text[:, length:]
        for t in range(length, text.shape[1]):
            logits = self.logits(text[:, max(0, t - self.T) : t])[:, -1]
            written = logits.gather(1, text[:, t : t + 1])[:, 0]
            if (logits.amax(dim=-1) - written).max() <= 1e-2:
                continue
            said = ""
            if not hint and (new == new[0, 0]).all():
                hint = RANKS
            elif not hint:
                said, hint = self._named(text[:1, :3])
            raise Failure(
                what="near temperature 0 each token is the likeliest",
                expected=logits.argmax(dim=-1).tolist(),
                got=f"{text[:, t].tolist()}" + f": tokens come {said}" * bool(said),
                hint=hint,
            )

    def draws(self, prompt: torch.Tensor) -> None:
        """Tokens come as often as the softmax says, with the global generator, all of them. `prompt`: (1, T)."""
        drawn, logits = self._drawn(prompt, 1e5, seed=3), self.logits(prompt)[0, -1]
        if not drawn.all():  # each token is expected 62 times; by chance one is missing in 7 of 10²⁶ calls
            said, hint = self._named(prompt) if drawn.max() == 1 else _left_out(logits, drawn)
            raise Failure(
                what="every token can be drawn",
                expected=f"all {self.V} among {DRAWS} at a very high temperature",
                got=said,
                hint=hint,
            )
        for temperature in (1.0, 2.0, 0.5):
            drawn, expected = self._drawn(prompt, temperature, seed=11), F.softmax(logits / temperature, dim=-1)
            if ((drawn - expected).abs() > _most_by_chance(expected)).any():
                said, hint = self._named(prompt)
                furthest = int((drawn - expected).abs().argmax())
                raise Failure(
                    what=f"at temperature {temperature:g} tokens come as often as the softmax says",
                    expected=f"token {furthest} in {expected[furthest]:.1%}",
                    got=f"in {drawn[furthest]:.1%}" + f": tokens come {said}" * bool(said),
                    hint=hint,
                )
        made, other = (self.write(prompt.expand(50, -1), 4, 1e3, seed=seed) for seed in (1, 2))
        if torch.equal(made["next"], other["next"]) or torch.equal(made["text"], other["text"]):
            raise Failure(
                what="generate draws from PyTorch's global generator, and does not seed it",
                expected="other texts after other seeds",
                got="the same",
                hint="Which line sets a seed, or makes its own generator?",
            )

    def _drawn(self, prompt: torch.Tensor, temperature: float, seed: int) -> torch.Tensor:
        """How often each token comes after equal rows."""
        text = self.write(prompt.expand(DRAWS, -1), 1, temperature, seed=seed)["text"]
        return text[:, -1].bincount(minlength=self.V) / DRAWS

    def _named(self, prompt: torch.Tensor) -> tuple[str, str]:
        """What is drawn, and the hint that leads to why."""
        return _named_draws(self.logits(prompt)[0], lambda temperature: self._drawn(prompt, temperature, seed=5))


def generation(learner: LearnerFile) -> str:
    """generate appends what the model predicts from the last block_size tokens."""
    if learner.process.ask("cannot_write", model=learner.small_model().number) == "no such method":
        return "not compared: GPT has no generate yet"
    sizes, dropout = learner.small_sizes, learner.task.dropout
    writer = _writer(learner, learner.fill(learner.build(sizes, dropout=0.9)) if dropout else learner.small_model())
    prompt = learner.tokens(B, sizes.T + 3, sizes.V)
    made = writer.write(prompt, 8, temperature=1e-4, training=True)
    free = learner.name in WHOLE  # its document asks for no mode
    source = source_of(learner.path)
    as_called = free or _sets_mode(source)
    if as_called and made["trained"]:
        if free or not _by_print_sample(source):
            learner.note("generate writes in the mode in which it is called: in training mode with dropout")
        made |= writer.write(prompt, 8, temperature=1e-4)
    in_training = made["trained"] and dropout
    writer.likeliest(made, prompt.shape[1], "Is dropout off while the model writes?" * in_training)
    writer.likeliest(writer.write(prompt[:, :1], sizes.T - 1, temperature=1e-4), 1, GROWING)
    writer.write(prompt[:1], 80, temperature=1e3)  # all tokens come, also one that would be an end
    if in_training and not as_called:
        raise Failure(
            what="the model writes in evaluation mode",
            expected="model.training False while it writes",
            got="True",
            hint="Is dropout off while the model writes?",
        )
    if made["gradients"] and not free:
        raise Failure(
            what="writing keeps no gradients",
            expected="torch.no_grad() or inference_mode()",
            got="gradients are recorded for every token",
            hint="What grows with every token, for a backward pass that is never run?",
        )
    if made["gradients"]:
        learner.note("generate keeps gradients for every token")
    modes = {True: "training", False: "evaluation"}
    for training, mode in modes.items():
        if writer.write(prompt, 2, training=training)["training"] != training:
            learner.note(f"generate called in {mode} mode leaves the model in {modes[not training]} mode")
    sizes = replace(sizes, V=65)
    _writer(learner, learner.fill(learner.build(sizes), loud=0.7)).draws(learner.tokens(1, 3, sizes.V))
    return "crops, keeps its prompt, draws by temperature from all tokens, leaves random numbers alone"


def _writer(learner: LearnerFile, model: Model) -> Writer:
    ask = partial(learner.process.ask, "generate", model=model.number)
    return Writer(ask, partial(learner.logits, model), model.sizes.T, model.sizes.V)


def _by_print_sample(source: bytes) -> bool:
    """Whether the file's text is written by the lessons' function, which sets evaluation mode."""
    return b".generate(" not in source and (b"print_sample(" in source or b"from variants import main" in source)


def _sets_mode(source: bytes) -> bool:
    """Whether no call of generate in the file is in training mode, as the last mode set before the last call says.

    Where nothing calls generate, its caller sets the mode, unless generate sets one itself.
    """
    if b".generate(" not in source:
        return _by_print_sample(source) or b".train(" not in source.partition(b"def generate")[2].partition(b"def ")[0]
    before = source.rpartition(b".generate(")[0]
    return before.rfind(b".eval()") > before.rfind(b".train()")


RANKS = "What is drawn: a token, or its place in a sorted list?"
GROWING = (
    "From the second new token on: are positions counted from the start of the text, and does the model still see all "
    "earlier tokens?"
)
CONTEXT = "Which position's logits tell the next token, and which end of the text is cut off?"
TEMPERATURE = (
    "Does each row draw from all of the softmax of logits / temperature? Noise instead of a draw is -log(-log(u))."
)
TOLD_BY, HIGH = (2.0, 0.1), 1e4  # temperatures at which draws are told apart, and all tokens come
KNOWN: list[tuple[str, str, Callable]] = [  # logits (T, V), temperature → how often each token comes
    ("as often as the softmax says after a short text", CONTEXT, lambda z, t: (z[-1] / t).softmax(-1)),
    (
        "from logits times the temperature",
        "Is the temperature a divisor of the logits, or a factor?",
        lambda z, t: (z[-1] * t).softmax(-1),
    ),
    (
        "as at temperature 1, whatever the temperature",
        "Does the temperature act before the softmax? Dividing all probabilities by a number changes nothing.",
        lambda z, _: z[-1].softmax(-1),
    ),
    *(
        ("from a softmax of a softmax", "Which line gets probabilities, and treats them as logits?", twice)
        for twice in (
            lambda z, t: (z[-1] / t).softmax(-1).softmax(-1),
            lambda z, t: (z[-1].softmax(-1) / t).softmax(-1),
        )
    ),
    (
        "equally often, whatever the logits, where all rows are equal",
        "Along which axis is the softmax: that of the rows (dim=0), or of the tokens (dim=-1)?",
        lambda z, _: torch.full_like(z[-1], 1 / z.shape[-1]),
    ),
    (
        "from a softmax over the positions",
        "Along which axis is the softmax: that of the positions (dim=1), or of the tokens (dim=-1)?",
        lambda z, t: F.normalize((z / t).softmax(0)[-1], p=1, dim=0),
    ),
]


def _named_draws(logits: torch.Tensor, draw: Callable[[float], torch.Tensor]) -> tuple[str, str]:
    """What is drawn, and the hint that leads to why, for logits (T, V) and how often tokens come (V)."""
    drawn = {temperature: draw(temperature) for temperature in TOLD_BY}
    wide = draw(HIGH)
    alike = [each.argmax() for each in (*drawn.values(), wide) if each.max() == 1]  # one token in all rows
    if len(alike) == 3 and all(token == logits[-1].argmax() for token in alike):
        return "always the likeliest", "Is the likeliest token taken, where each row should draw from the softmax?"
    if len(alike) == 3:
        return "the same in all rows", (
            "Does each row draw its own number, and is the number a token, or its place in a sorted list?"
        )
    some = (*_left_out(logits[-1], wide), lambda z, t: (z[-1] / t).where(wide > 0, -math.inf).softmax(-1))
    known = [*KNOWN, some] if not wide.all() else KNOWN
    distances = [
        sum(float((each - expected(logits, temperature)).abs().sum()) for temperature, each in drawn.items())
        for _, _, expected in known
    ]
    name, hint, _ = known[distances.index(min(distances))]
    return (name, hint) if min(distances) < 0.3 * len(TOLD_BY) else ("", TEMPERATURE)


def _left_out(logits: torch.Tensor, drawn: torch.Tensor) -> tuple[str, str]:
    """Which tokens are never drawn, and the hint that leads to why, for logits (V) and how often each comes (V)."""
    missing, kept = (drawn == 0).nonzero()[:, 0].tolist(), int(drawn.count_nonzero())
    if logits[drawn > 0].min() >= logits.topk(kept).values[-1]:
        return f"only from the {kept} likeliest, whatever the temperature", (
            "Which default keeps only some tokens: does top_k, or top_p, have a value if the caller gives none?"
        )
    said = f"never {', '.join(map(str, missing[:8]))}{' and others' * (len(missing) > 8)}"
    return said, "Which line leaves these tokens out: is one of them an end, or a mark?"


def _returned(text: Any, prompt: torch.Tensor, count: int) -> tuple[str, str]:
    """What generate returned in place of the prompt and `count` tokens, and the hint that leads to why."""
    hint = "What does generate return: all tokens, or the new ones?"
    if not isinstance(text, torch.Tensor) or text.ndim != 2:
        return type(text).__name__ if not isinstance(text, torch.Tensor) else str(tuple(text.shape)), hint
    (rows, length), got = prompt.shape, str(tuple(text.shape))
    begins = torch.equal(text[:, :length], prompt[:, : text.shape[1]])
    if not begins and text.shape == (rows, count):
        return f"{got}: only the new tokens", hint
    if begins and text.shape[1] < length + count:
        counted = text.shape[1] == max(length, count)
        return f"{got}: {text.shape[1] - length} new tokens of {count}" + ", the prompt counted among them" * counted, (
            "Up to which length does the loop go: is the prompt counted in max_new_tokens?"
            if counted
            else "Does it stop before it has written all tokens, at a token that means the end?"
        )
    return f"{got}{', not beginning with it' * (not begins)}", f"{hint} And how many?"


def _most_by_chance(p: torch.Tensor) -> torch.Tensor:
    """How far a frequency in DRAWS draws is from p at most, but for one case in 10¹² (Bernstein's inequality)."""
    exponent = math.log(2e12)
    return (exponent / 3 + (exponent**2 / 9 + 2 * DRAWS * exponent * p * (1 - p)).sqrt()) / DRAWS
