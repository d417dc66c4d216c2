"""A sliding window: each position looks at itself and the last window - 1 characters, and a cache keeps no more.

Through several blocks, a position still hears of earlier ones: n_layer · (window - 1) characters back.
Papers: https://arxiv.org/abs/2004.05150; used in Mistral, https://arxiv.org/abs/2310.06825
"""

from dataclasses import dataclass

import task09_rope
from common.run import run
from task09_rope import causal_mask
from variants import main


@dataclass(frozen=True)
class Config(task09_rope.Config):
    window: int = 64  # positions that a query may look at, itself included


def window_mask(T, window):
    """(T, T), True where the query of a row may look at the key of a column: itself or the window - 1 before it."""
    return causal_mask(T).triu(1 - window)


class GPT(task09_rope.GPT):
    """Task 9's, with another mask."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention.mask = window_mask(config.block_size, config.window)


if __name__ == "__main__":
    model = run(lambda: main(__doc__, GPT, Config))
