"""What does each change gain over task 9? python -m variants.measure --into DIR

Trains task 9 and each change of variants/ for the same number of steps, with Muon as in the preset laptop, at two
sizes: small, 0.6 million parameters, and large, 5 million. Each run is a file in DIR; those that are there are skipped,
so that a stopped command goes on where it was. Losses are nats per character of the tuning split: the last tenth of the
training text, which the models do not train on. `--seconds` measures the seconds a step instead, all changes in turn;
nothing else should use the processor then. python -m variants.summary --from DIR makes the table.
"""

import contextlib
import importlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

from common.config import LAPTOP
from common.data import Corpus
from common.files import replace as put
from common.machine import describe
from common.mode import evaluation_mode
from common.options import DEFAULT_TEXT
from common.parser import Parser, path
from common.run import progress, run
from studies import setup
from studies.report import add_number, add_seeds

import torch
from torch.nn import functional as F

STEPS = 1000
SIZES: dict[str, dict] = {
    "small": {"batch_size": 4, "n_embd": 96, "n_head": 3, "n_layer": 5},
    "large": {"batch_size": 4, "n_embd": 288, "n_head": 9, "n_layer": 5},
}
LOOKS = 5  # at the scores, over the training
ROUNDS, TIMED = 12, 5  # of steps whose time is measured


@dataclass(frozen=True)
class Run:
    """A model to train: its module, what differs from its Config at each size, and the share of the steps."""

    module: str
    small: dict = field(default_factory=dict)
    large: dict = field(default_factory=dict)
    steps: float = 1.0


NAMES = ("rmsnorm", "swiglu", "qk_norm", "grouped_queries", "sliding_window", "gate", "value_residual", "convolutions")
RUNS = {
    "task09": Run("task09_rope"),
    **{name: Run(f"variants.{name}") for name in (*NAMES, "alibi")},
    "relu2": Run("variants.swiglu", {"activation": "relu2"}, {"activation": "relu2"}),
    "grouped_queries": Run("variants.grouped_queries", {"n_kv_head": 1}, {"n_kv_head": 3}),
    "learned_positions": Run("task07"),
    "longer": Run("task09_rope", steps=1.25),  # with the next two: what steps and parameters are worth
    "wider": Run("task09_rope", {"n_embd": 108}, {"n_embd": 324}),
    "convolutions_shorter": Run("variants.convolutions", steps=0.7),
}


def config_of(name: str, size: str, steps: int) -> Any:
    """The Config of a run."""
    each = RUNS[name]
    config = importlib.import_module(each.module).Config()
    known = {**LAPTOP, "max_steps": round(steps * each.steps), **SIZES[size], **getattr(each, size)}
    return replace(config, **{name: value for name, value in known.items() if hasattr(config, name)})


def tuning_text(block_size: int) -> Corpus:
    """The training text, its last tenth for the losses."""
    corpus = Corpus(DEFAULT_TEXT, block_size)
    corpus.tune()
    return corpus


def measured(name: str, size: str, seed: int, steps: int) -> dict:
    """Train one model; what is said of it in its file."""
    config = config_of(name, size, steps)
    corpus = tuning_text(config.block_size)
    model_class = importlib.import_module(RUNS[name].module).GPT
    training = setup.build(model_class, config, len(corpus.vocabulary), seed)
    largest, start = 0.0, time.process_time()
    for step in range(config.max_steps):
        progress.where = f"at step {step} of {config.max_steps}, {name}, {size}, seed {seed}"
        training.step(corpus, step)
        if (step + 1) % (config.max_steps // LOOKS) == 0:
            score, first = scores(training, corpus)
            largest = max(largest, score)
    seconds = time.process_time() - start
    by_place = losses(training, corpus)
    found = {"name": name, "size": size, "seed": seed, "steps": config.max_steps, "config": asdict(config)}
    quarters = [statistics.mean(part.tolist()) for part in torch.tensor(by_place).chunk(4)]
    found |= {"loss": statistics.mean(by_place), "quarters": quarters, "seconds": round(seconds, 1)}
    found |= {"parameters": setup.parameters(training.model), "cache": cache_bytes(config)}
    found |= {"largest_score": largest, "first_weight": first}
    if name != "learned_positions":  # its table has no rows for later positions
        twice = replace(config, block_size=2 * config.block_size)
        longer = setup.build(model_class, twice, len(corpus.vocabulary), seed)
        longer.model.load_state_dict(training.model.state_dict())
        found["beyond"] = statistics.mean(losses(longer, tuning_text(twice.block_size))[config.block_size :])
    return found | {"machine": describe()}


def losses(training: setup.Run, corpus: Corpus) -> list[float]:
    """The loss at each position (T) of blocks side by side."""
    text, T = corpus.splits["val"], corpus.block_size
    tokens, targets = corpus.windows(text, torch.arange(0, len(text) - T, T))  # (N, T) each
    total = torch.zeros(T, dtype=torch.float64)
    with evaluation_mode(training.model), torch.no_grad(), training.precision:
        for some, expected in zip(tokens.split(16), targets.split(16), strict=True):
            logits = training.model(some).float()  # (B, T, V)
            total += F.cross_entropy(logits.mT, expected, reduction="none").sum(dim=0)
    return (total / len(tokens)).tolist()


def scores(training: setup.Run, corpus: Corpus) -> tuple[float, float]:
    """The largest attention score in a few blocks of text, and the mean weight on the first position."""
    model, T = training.model, corpus.block_size
    tokens, _ = corpus.windows(corpus.splits["val"], torch.arange(4) * T)
    with evaluation_mode(model), torch.no_grad(), training.precision, watched(model) as seen:
        model(tokens)
    return max(score for score, _ in seen), statistics.mean(weight for _, weight in seen)


@contextlib.contextmanager
def watched(model: Any) -> Iterator[list[tuple[float, float]]]:
    """Inside, each call of attention() adds its largest score, and the mean weight of later positions on the first."""
    seen: list[tuple[float, float]] = []
    modules: list[Any] = [sys.modules[name] for name in {type(block.attention).__module__ for block in model.blocks}]
    attention = modules[0].attention

    def watching(q, k, v, mask, scale, dropout):
        table = q @ k.mT * scale
        table = torch.where(mask, table, float("-inf")) if mask.dtype == torch.bool else table + mask  # (B, H, T, T)
        seen.append((float(table.max()), float(F.softmax(table.float(), dim=-1)[..., 1:, 0].mean())))
        return attention(q, k, v, mask, scale, dropout)

    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "attention", watching))
        yield seen


def cache_bytes(config: Any) -> int:
    """Keys and values of a full context in float32, as task 8 keeps them."""
    heads = getattr(config, "n_kv_head", config.n_head)
    places = min(config.block_size, getattr(config, "window", config.block_size))
    return 4 * 2 * config.n_layer * heads * (config.n_embd // config.n_head) * places


def seconds_a_step(names: list[str], size: str) -> dict:
    """Each change's seconds a step, the median of some rounds, one change after the other in each."""
    models = {}
    for name in names:
        config = config_of(name, size, STEPS)
        corpus = tuning_text(config.block_size)
        models[name] = setup.build(importlib.import_module(RUNS[name].module).GPT, config, len(corpus.vocabulary), 1)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number, (name, training) in itertools.product(range(ROUNDS), models.items()):
        progress.where = f"in round {number + 1} of {ROUNDS}"
        times = setup.step_seconds(training, corpus, range(TIMED))
        taken[name] += [statistics.mean(times)] * (number > 0)  # the first warms up
    medians = {name: statistics.median(each) for name, each in taken.items()}
    return {"size": size, "seconds": medians, "machine": describe()}


def write(place: Path, found: dict) -> None:
    """Write a file, completely or not at all."""
    partial = place.with_name(f"{place.name}.{os.getpid()}")
    partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    put(partial, place)


def main() -> None:
    parser = Parser(prog="python -m variants.measure", description=__doc__)
    parser.add_argument("--into", type=path, required=True, metavar="DIR", help="the folder of the runs' files")
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--size", choices=SIZES, default="small", help="(default: %(default)s)")
    add_seeds(parser, 42, 43, 44)
    add_number(parser, "--steps", STEPS)
    parser.add_argument("--seconds", action="store_true", help="measure the seconds a step, and train nothing")
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if options.seconds:
        write(options.into / f"{options.size}-seconds.json", seconds_a_step(options.only, options.size))
        return
    for seed, name in itertools.product(options.seeds, options.only):
        place = options.into / f"{options.size}-{name}-{seed}.json"
        if not place.exists():
            found = measured(name, options.size, seed, options.steps)
            write(place, found)
            print(f"{options.size} {name} {seed}: {found['loss']:.4f} after {found['steps']} steps", flush=True)


if __name__ == "__main__":
    run(main)
