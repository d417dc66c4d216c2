"""Speculative decoding: a cheap model guesses the next characters, one pass of the GPT checks them all.

A guess is drawn with the same random numbers with which the character itself will be drawn. It is kept if the GPT,
with these numbers, draws the same. So the text is the same, up to rounding, with guesses or without.
Source: https://arxiv.org/abs/2211.17192, there with other random numbers for guess and character.
"""

from collections import deque
from collections.abc import Callable, Iterator

from studies.counts import Counts
from studies.generation.cache import Cache

import torch
from torch.nn import functional as F

GUESSES = 7  # at most, before the model reads them
Guess = Callable[[list[int]], torch.Tensor | None]


class CountsGuess:
    """What may come next, by a look into a table: the counts' logits after each `n` tokens that a text holds."""

    def __init__(self, tokens: torch.Tensor, vocab_size: int, n: int = 4):
        tables = Counts(tokens, vocab_size, n).tables
        self.vocab_size, self.n = vocab_size, len(tables) - 1
        contexts = tables[-1][0]  # (N)
        p = torch.full((len(contexts), vocab_size), 1 / vocab_size)  # (N, V)
        for length, (shorter, rows, left) in enumerate(tables):
            row = torch.searchsorted(shorter, contexts % vocab_size**length)  # (N)
            p = rows[row] + left[row, None] * p
        self.logits = p.log()
        self.row = {context: row for row, context in enumerate(contexts.tolist())}

    def __call__(self, tokens: list[int]) -> torch.Tensor | None:
        """Logits (V) of the token after a list of them; None where its last n are unknown."""
        context = 0
        for token in tokens[-self.n :]:
            context = context * self.vocab_size + token
        row = self.row.get(context) if len(tokens) >= self.n else None
        return None if row is None else self.logits[row]


def choose(logits: torch.Tensor, temperature: float, noise: torch.Tensor) -> torch.Tensor:
    """Draw a token (1) from logits (V) with exponential noise (V), as torch.multinomial does. 0: the likeliest."""
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    return (F.softmax(logits / temperature, dim=-1) / noise).argmax(dim=-1, keepdim=True)


@torch.inference_mode()
def generate(model, tokens: torch.Tensor, temperature: float = 1.0, guess: Guess | None = None) -> Iterator:
    """Yield, without end, the tokens (1) that follow `tokens` (T), with task 8's rule for a full block.

    `guess`, of a list of tokens, gives logits (V) of the next or None.
    """
    recent = deque(tokens.tolist(), maxlen=model.block_size)
    cache = Cache(model)
    unread = tokens[-model.block_size :]
    noise: deque = deque()  # (V) each, for the next tokens, drawn in their order

    def draw(logits: torch.Tensor, ahead: int) -> torch.Tensor:
        if ahead == len(noise):
            noise.append(torch.empty_like(logits).exponential_())  # (V)
        return choose(logits, temperature, noise[ahead])  # (1)

    while True:
        if cache.length + len(unread) > model.block_size:
            cache.length = 0
            unread = torch.tensor(list(recent)[-(model.block_size // 2) :])  # (block_size / 2)
        text = list(recent)
        guesses: list[torch.Tensor] = []
        room = min(GUESSES, model.block_size - cache.length - len(unread)) if guess else 0
        while guess and len(guesses) < room and (opinion := guess(text)) is not None:
            guesses.append(draw(opinion, len(guesses)))
            text.append(int(guesses[-1]))
        logits = cache.extend(torch.cat([unread, *guesses]), 1 + len(guesses))  # (1 + guesses, V)
        cache.length -= len(guesses)
        for row, guessed in zip(logits, [*guesses, None], strict=True):
            unread = draw(row, 0)  # (1)
            noise.popleft()
            recent.append(int(unread))
            yield unread
            if guessed is None or unread != guessed:
                break
            cache.length += 1  # read already
