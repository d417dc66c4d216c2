"""Characters a second with task 8's cache, of grouped queries and of task 9: python -m variants.characters

Task 9 is grouped queries with a head of keys and values for each head of queries. Each model fills its block, 256
characters, from one character; the median of three times. Nothing else should use the processor then.
"""

import statistics
import time

from common.machine import describe
from common.parser import Parser
from common.run import run
from task09_rope import attention, rotate
from variants import grouped_queries
from variants.measure import RUNS, SIZES

import torch

BATCHES = (1, 64)  # texts that are written side by side
VOCABULARY = 65
TIMES = 3


class CachedAttention(grouped_queries.SelfAttention):
    """The same, which keeps the keys and values of each head of its own."""

    def start(self, batch: int, block_size: int) -> None:
        """Begin with no position read, and room for block_size of them."""
        self.read = 0
        D = self.projection.in_features // self.counts[0]
        self.kv = torch.zeros(2, batch, self.counts[1], block_size, D)  # (2, B, K, block_size, D)

    def forward(self, x):  # (B, T, C), the next T positions
        B, T, C = x.shape
        new = slice(self.read, self.read + T)
        self.read += T
        heads = self.qkv(x).view(B, T, sum(self.counts), -1).transpose(1, 2)  # (B, H + 2K, T, D)
        q, k, v = heads.split(self.counts, dim=1)  # (B, H, T, D), (B, K, T, D) twice
        self.kv[:, :, :, new] = torch.stack([rotate(k, self.angles[new]), v])
        kv = self.kv[:, :, :, : self.read].repeat_interleave(self.counts[0] // self.counts[1], dim=2)
        x = attention(rotate(q, self.angles[new]), *kv, self.mask[new, : self.read], self.scale, self.dropout)
        return self.projection(x.transpose(1, 2).reshape(B, T, C))  # (B, T, C)


@torch.no_grad()
def characters_a_second(size: str, n_kv_head: int, batch: int) -> float:
    """The rate of all texts together, (B, block_size) characters."""
    torch.manual_seed(1)
    config = grouped_queries.Config(n_kv_head=n_kv_head, block_size=256, **SIZES[size])
    model = grouped_queries.GPT(config, VOCABULARY).eval()
    for block in model.blocks:
        block.attention.__class__ = CachedAttention
    taken = []
    for _ in range(TIMES):
        for block in model.blocks:
            block.attention.start(batch, config.block_size)
        tokens, start = torch.zeros(batch, 1, dtype=torch.long), time.perf_counter()  # (B, 1)
        for _ in range(config.block_size):
            tokens = torch.multinomial(model(tokens)[:, -1].softmax(dim=-1), num_samples=1)  # (B, 1)
        taken.append(time.perf_counter() - start)
    return batch * config.block_size / statistics.median(taken)


def main() -> None:
    Parser(prog="python -m variants.characters", description=__doc__).parse_args()
    torch.set_num_threads(1)
    print(f"# {describe()}")
    for size, batch in ((size, batch) for size in SIZES for batch in BATCHES):
        n_head, fewer = SIZES[size]["n_head"], getattr(RUNS["grouped_queries"], size)["n_kv_head"]
        rates = [characters_a_second(size, heads, batch) for heads in (n_head, fewer)]
        print(f"{size}, {batch} side by side: task 9 {rates[0]:,.0f}, grouped queries {rates[1]:,.0f} characters/s")


if __name__ == "__main__":
    run(main)
