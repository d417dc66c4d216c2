"""Measure the limits of the check's last stage: python -m check.judge.limits > docs/logs/check_bands.txt

Runs the stage's short training from the official models' initial weights, by several common initializations and 20
seeds each. Prints each group's range, and writes the limits to limits.json, a tenth of a nat beyond the ranges.
Kaiming's initialization starts with large logits; only for such starts is the loss enough that it reaches.
Losses are in nats per character.
"""

import functools
import json
from importlib import import_module

from check.judge import arrangements, matching
from check.judge.reference import TASKS, Form
from check.judge.stages.learning import LIMITS, short_run, training_sizes
from common.machine import describe
from common.optim import branch_ends
from common.run import progress, run

import torch
from torch import nn

SEEDS = 20
MARGIN = 0.1


def normal(model: nn.Module) -> None:
    """GPT-2's: normal weights, zero biases."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def scaled(model: nn.Module) -> None:
    """GPT-2's, with the ends of branches smaller."""
    normal(model)
    ends = branch_ends(model) if hasattr(model, "blocks") else []
    for layer in ends:
        nn.init.normal_(layer.weight, std=0.02 / len(ends) ** 0.5)


def xavier(model: nn.Module) -> None:
    """Glorot and Bengio's: uniform, by fan in and fan out."""
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.xavier_uniform_(parameter)


def kaiming(model: nn.Module) -> None:
    """He's: normal, by fan in, for ReLU."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


LARGE = "Kaiming normal"
INITIALIZATIONS = {
    "PyTorch's own": lambda model: None,
    "normal, 0.02": normal,
    "normal, 0.02, branch ends smaller": scaled,
    "Xavier uniform": xavier,
    LARGE: kaiming,
}


def measure(name: str, initialize, seed: int) -> tuple[float, float]:
    """Losses before and after the short run of an official model."""
    task, sizes = TASKS[name], training_sizes(TASKS[name])
    module = import_module(name)
    changes = {"n_embd": sizes.C, "block_size": sizes.T, "n_layer": sizes.L, "n_head": sizes.H, "head_size": sizes.D}
    config = module.Config(**{key: value for key, value in changes.items() if hasattr(module.Config, key)})
    torch.manual_seed(seed)
    model = module.GPT(config, sizes.V)
    initialize(model)
    names, values = zip(*((key, value.detach()) for key, value in model.named_parameters()), strict=True)
    shapes = [value.shape for value in values]
    structure = matching.read(task, names, ["Linear"] * len(names), shapes, sizes)
    how = next(arrangements.arrangements(task, structure, sizes))  # the official files'
    weights = functools.partial(arrangements.weights, task, structure, sizes=sizes, how=how)
    return short_run(task, list(values), weights, Form(scale="√C"), seed)[:2]


def limits(ranges: dict[str, tuple[float, float, float, float]]) -> dict[str, list]:
    """Limits of the first loss, and points (first, last) between which the limit of the last loss is read.

    `ranges`: initialization → lowest and highest first loss, lowest and highest last.
    """
    low, high, _, most = zip(*(losses for kind, losses in ranges.items() if kind != LARGE), strict=True)
    large_low, large_high, _, large_most = ranges[LARGE]
    ordinary = min(max(high) + MARGIN, large_low - MARGIN)
    points = [[ordinary, max(most) + MARGIN], [large_low - MARGIN, large_most + MARGIN]]
    return {
        "first": [round(min(low) - MARGIN, 3), round(max(*high, large_high) + MARGIN, 3)],
        "last": [[round(number, 3) for number in point] for point in points],
    }


def main() -> None:
    torch.set_num_threads(1)
    bands = {}
    for name in (name for name in TASKS if name.startswith("task")):
        ranges = {}
        for kind, initialize in INITIALIZATIONS.items():
            progress.where = f"while {name} was measured"
            runs = [measure(name, initialize, seed) for seed in range(SEEDS)]
            firsts, lasts = zip(*runs, strict=True)
            ranges[kind] = (min(firsts), max(firsts), min(lasts), max(lasts))
            first, last = (f"{min(each):.3f} to {max(each):.3f}" for each in (firsts, lasts))
            print(f"{name:12} {kind:34} first {first}, last {last}", flush=True)
        bands[name] = limits(ranges)
    LIMITS.write_text(json.dumps(bands, indent=2) + "\n", encoding="utf-8")
    print(f"# {SEEDS} seeds each, {describe()}")


if __name__ == "__main__":
    run(main)
