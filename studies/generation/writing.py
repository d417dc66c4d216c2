"""Ways to write without end: as the lessons do, recomputing the window, and with task 8's cache."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import asdict

import task08_infinite as task08
from task07 import sample

import torch


@torch.no_grad()
def uncached(model, tokens: torch.Tensor, temperature: float = 1.0) -> Iterator[torch.Tensor]:
    """Yield the tokens (1, 1) that follow a text (1, T), computing the whole window for each."""
    while True:
        token = sample(model(tokens[:, -model.block_size :])[:, -1], temperature)  # (1, 1)
        tokens = torch.cat([tokens[:, 1 - model.block_size :], token], dim=1)
        yield token


def cached(model, config, tokens: torch.Tensor, temperature: float = 1.0) -> Iterator[torch.Tensor]:
    """The same text, up to the end of the block, with task 8's cache. The model is task 7's, of this config."""
    twin = task08.GPT(task08.Config(**asdict(config)), model.token_embedding.num_embeddings)
    twin.load_state_dict(model.state_dict())
    return twin.eval().generate(tokens, temperature)


def seconds_a_token(tokens: Iterator, n: int) -> float:
    """The mean time that the next n tokens take."""
    start = time.perf_counter()
    for _ in itertools.islice(tokens, n):
        pass
    return (time.perf_counter() - start) / n
