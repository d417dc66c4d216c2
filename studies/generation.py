"""How fast task 8 writes, and what its cache and its guesses gain: python -m studies.generation

With the committed weights, on this machine: characters a second as task 8 writes them (but at temperature 1),
with the cache and guesses; with the cache alone; without either, the window of block_size characters
recomputed for each; the time that reading the weights once from memory takes, which one-at-a-time generation
cannot beat; and the seconds from the start of the process to the first character.
"""

from common import exits
from common.exits import end_cleanly

end_cleanly(__name__)

import argparse
import itertools
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import task08_infinite as task08
from common.data import Corpus
from common.options import DEFAULT_TEXT, Parser, whole_number
from common.stream import BEST_WEIGHTS, load_guesses, load_model

ROOT = Path(__file__).resolve().parent.parent
BIG = 2**28  # float32 numbers, 1 GiB: more than a processor's caches hold


def seconds_a_token(tokens, n):
    start = time.perf_counter()
    for _ in itertools.islice(tokens, n):
        pass
    return (time.perf_counter() - start) / n


@torch.inference_mode()
def uncached(model, window):
    """Task 8's generation without its cache, from a full window (1, T) on."""
    while True:
        token = task08.choose(model(window)[0, -1], 1.0, 0, 1.0)  # (1)
        window = torch.cat([window[:, 1:], token[None]], dim=1)  # (1, T)
        yield token


def bandwidth():
    """Bytes a second that this many threads read from memory: the best of five passes over 1 GiB."""
    numbers = torch.ones(BIG)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        numbers.sum()
        times.append(time.perf_counter() - start)
    return 4 * BIG / min(times)


def first_character():
    """Seconds from the start of a process to the first character it writes."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "task08_infinite.py"], cwd=ROOT, stdout=subprocess.PIPE) as process:
        process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.kill()
    return seconds


def import_torch():
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=whole_number(1), default=5, metavar="N", help="(default: %(default)s)")
    options = parser.parse_args()
    exits.at("while it measured")
    model, vocabulary = load_model(BEST_WEIGHTS)
    guess = load_guesses(vocabulary)
    weights = sum(parameter.numel() * 4 for parameter in model.parameters())
    prompt = Corpus(DEFAULT_TEXT, model.block_size).splits["val"][: model.block_size]
    measured = {"task 8": [], "cache alone": [], "uncached": [], "uncached, 2 threads": []}
    for _ in range(options.rounds):  # in turn, so that a slow minute of the machine slows all
        torch.set_num_threads(1)
        for name, how in (("task 8", {"guess": guess}), ("cache alone", {})):
            measured[name].append(seconds_a_token(task08.generate(model, prompt, **how), 2 * model.block_size))
        measured["uncached"].append(seconds_a_token(uncached(model, prompt[None]), 20))
        torch.set_num_threads(min(2, os.cpu_count() or 1))
        measured["uncached, 2 threads"].append(seconds_a_token(uncached(model, prompt[None]), 20))
    torch.set_num_threads(1)
    reading = weights / bandwidth()
    ours = statistics.median(measured["task 8"])
    print(f"block size {model.block_size}, {weights / 1e6:.1f} MB of weights, medians of {options.rounds} rounds:")
    for name, times in measured.items():
        seconds = statistics.median(times)
        speed = f"{1 / seconds:6.0f} characters/s, {1000 * seconds:7.3f} ms each"
        print(f"{name + ':':21} {speed}, {seconds / ours:5.1f} ×")
    print(f"reading the weights:  {1000 * reading:.3f} ms at {weights / reading / 1e9:.1f} GB/s; "
          f"a character of task 8 takes {ours / reading:.2f} × that")  # fmt: skip
    starts = [(first_character(), import_torch()) for _ in range(options.rounds)]
    first, imports = (statistics.median(times) for times in zip(*starts, strict=True))
    print(f"first character:      {first:.2f} s after the start, of which import torch {imports:.2f} s "
          f"(medians; quickest {min(starts)[0]:.2f} s)")  # fmt: skip
    print(f"# {os.cpu_count()} cores, {platform.machine()}, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
