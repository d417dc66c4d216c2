"""A laptop preset with fields changed, trained in full on the tuning split: python -m record.tuning TASK NAME=VALUE…

    python -m record.tuning task09_rope dropout=0.05 n_layer=6 n_head=4

A search with a few minutes for each model cannot choose how long to train and with how much dropout; this script can.
The model trains on the first 90% of the *training* text and is evaluated on the rest, the tuning split. The validation
text is not used. Prints losses in nats per character.
"""

import ast
import dataclasses
import importlib
from typing import Any

from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import UserError, progress, run
from studies import setup
from studies.report import add_number, add_seed, add_threads

import torch

MODULES = {"task07": "task07", "task09_rope": "task09_rope", "speedrun": "record.speedrun"}


def changed(preset: Any, changes: list[str]) -> Any:
    """A preset with fields put in as NAME=VALUE. Raises UserError for another name or another type of value."""
    values: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        if not hasattr(preset, name):
            raise UserError(f"{change}: the preset has no {name}")
        kind = type(getattr(preset, name))
        try:
            value = text if kind is str else ast.literal_eval(text)
        except (SyntaxError, ValueError):
            value = None
        values[name] = float(value) if kind is float and type(value) is int else value
        if type(values[name]) is not kind:
            raise UserError(f"{change}: expected a value like {getattr(preset, name)}")
    return dataclasses.replace(preset, **values)


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("task", choices=MODULES, help="%(choices)s")
    parser.add_argument("changes", nargs="*", metavar="NAME=VALUE", help="a field of its Config")
    add_number(parser, "--every", 250, "steps between evaluations")
    add_seed(parser, 1)
    add_threads(parser)
    options = parser.parse_intermixed_args()  # flags may come before, between and after the changes
    torch.set_num_threads(options.threads)
    module = importlib.import_module(MODULES[options.task])
    config = changed(setup.preset(module), options.changes)
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    corpus.tune()
    run = setup.build(module.GPT, config, len(corpus.vocabulary), options.seed)
    seconds = 0.0
    print(" ".join([options.task, *options.changes]), flush=True)
    for step in range(config.max_steps):
        progress.where = f"after {step} of {config.max_steps} steps"
        seconds += sum(setup.step_seconds(run, corpus, [step]))
        if (step + 1) % options.every == 0 or step + 1 == config.max_steps:
            with run.precision:
                train, tune = (score_split(run.model, corpus, split) for split in ("train", "val"))
            losses = f"train {train.nats:.4f}, tuning {tune.nats:.4f}"
            print(f"  {step + 1:5} steps: {losses}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    run(main)
