"""A laptop preset with fields changed, trained in full on the tuning split: python -m studies.tuning TASK NAME=VALUE…

    python -m studies.tuning task09_rope dropout=0.05 n_layer=6 n_head=4

For choices that a search of a few minutes a model cannot make, above all how long to train and with how much
dropout. It learns from the first 90% of the *training* text and is judged by the rest of it, the tuning
split; the validation text is not looked at. Prints losses in nats per character.
"""

from common import exits
from common.exits import UserError, end_cleanly

end_cleanly(__name__)

import argparse
import ast
import dataclasses
import importlib
import os
import time

import torch

from common import training
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT, Parser, whole_number

MODULES = {"task07": "task07", "task09_rope": "task09_rope", "speedrun": "studies.speedrun"}


def changed(preset, changes: list[str]):
    """A preset with fields put in as NAME=VALUE. Raises UserError for another name or another type of value."""
    values = {}
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


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=MODULES, help="%(choices)s")
    parser.add_argument("changes", nargs="*", metavar="NAME=VALUE", help="a field of its Config")
    parser.add_argument("--every", type=whole_number(1), default=250, metavar="N",
                        help="epochs between evaluations (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=whole_number(0), default=1, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--threads", type=whole_number(1, os.cpu_count() or 1), default=torch.get_num_threads(),
                        metavar="N", help="(default: %(default)s)")  # fmt: skip
    options = parser.parse_intermixed_args()  # flags may stand before, between and after the changes
    torch.set_num_threads(options.threads)
    module = importlib.import_module(MODULES[options.task])
    config = changed(module.PRESETS["laptop"], options.changes)
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    corpus.tune()
    torch.manual_seed(options.seed)
    model = module.GPT(config, len(corpus.vocabulary))
    training.initialize(model, config)
    optimizers = training.configure_optimizers(model, config)
    precision = training.low_precision(torch.device("cpu"))
    model.train()
    seconds = 0.0
    print(" ".join([options.task, *options.changes]), flush=True)
    for epoch in range(config.epochs):
        exits.at(f"after {epoch} of {config.epochs} epochs")
        start = time.perf_counter()
        training.update(model, corpus, config, optimizers, epoch, precision)
        seconds += time.perf_counter() - start
        if (epoch + 1) % options.every == 0 or epoch + 1 == config.epochs:
            with precision:
                train, tune = (score_split(model, corpus, split).nats for split in ("train", "val"))
            print(f"  {epoch + 1:5} epochs: train {train:.4f}, tuning {tune:.4f}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
