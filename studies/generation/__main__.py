"""How fast can it write? python -m studies.generation

Measures characters a second with the committed weights, at temperature 1: by recomputing the window for each character,
with the cache of task 8, with a cache made for speed (cache.py), and with that cache and guesses (speculative.py). Then
the time to read the weights once from memory, which is a lower limit for one character a pass; and the seconds from the
start of task 8 to its first character.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from common.data import Corpus
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import progress, run
from common.stream import WEIGHTS
from studies.generation import speculative
from studies.generation.writing import cached, seconds_a_token, uncached
from studies.report import add_number
from studies.setup import load_any

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
BIG = 2**28  # float32 numbers, 1 GiB: more than a processor's caches hold
UNCACHED = "recomputing the window"


def bandwidth() -> float:
    """Bytes a second that this many threads read from memory: the best of five passes over 1 GiB."""
    numbers = torch.ones(BIG)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        numbers.sum()
        times.append(time.perf_counter() - start)
    return 4 * BIG / min(times)


def seconds_of(command: list[str]) -> float:
    """Seconds from the start of a process to the first character it writes, or to its end."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.kill()
    return seconds


def measure(model, config, prompt: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Way of writing → seconds a character, in each round."""
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    guess = speculative.CountsGuess(corpus.splits["train"], len(corpus.vocabulary))
    measured: dict[str, list[float]] = {}
    for number in range(rounds):  # in turn, so that a slow minute of the machine slows all
        progress.where = f"in round {number + 1} of {rounds}"
        ways = {
            UNCACHED: (uncached(model, prompt[None]), 20),
            "task 8's cache": (cached(model, config, prompt[None]), 2 * config.block_size),
            "a cache for speed": (speculative.generate(model, prompt), 2 * config.block_size),
            "the same, and guesses": (speculative.generate(model, prompt, guess=guess), 2 * config.block_size),
        }
        for name, (tokens, n) in ways.items():
            measured.setdefault(name, []).append(seconds_a_token(tokens, n))
    return measured


def main() -> None:
    parser = Parser(description=__doc__)
    add_number(parser, "--rounds", 5)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a position's work is too small to share
    model, config, _, _ = load_any(WEIGHTS)
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    prompt = Corpus(DEFAULT_TEXT, config.block_size).splits["val"][: config.block_size].long()
    medians = {way: statistics.median(times) for way, times in measure(model, config, prompt, options.rounds).items()}
    print(f"block size {model.block_size}, {weights / 1e6:.1f} MB of weights, medians of {options.rounds} rounds")
    print("\n| way of writing | characters/s | ms each | times as fast as recomputing |")
    print("|---|---|---|---|")
    for way, seconds in medians.items():
        print(f"| {way} | {1 / seconds:.0f} | {1000 * seconds:.3f} | {medians[UNCACHED] / seconds:.1f} |")
    reading = weights / bandwidth()
    print(f"\nreading the weights once: {1000 * reading:.3f} ms at {weights / reading / 1e9:.1f} GB/s")
    progress.where = "while task 8 started"
    commands = ["task08_infinite.py"], ["-c", "import torch"]
    starts = [tuple(map(seconds_of, commands)) for _ in range(options.rounds)]
    first, imports = (statistics.median(times) for times in zip(*starts, strict=True))
    print(
        f"first character: {first:.2f} s after the start, of which import torch {imports:.2f} s "
        f"(medians; quickest {min(starts)[0]:.2f} s)"
    )
    print(f"# {describe()}")


if __name__ == "__main__":
    run(main)
