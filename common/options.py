"""The flags that every lesson shares."""

import argparse
import dataclasses
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from common.config import PRESETS, TrainingConfig, check_sizes, preset_changes
from common.data import Corpus
from common.parser import MOST_SEED, Parser, path, whole_number
from common.precision import product_dtype
from common.progress import hint

import torch
from torch import nn

DEFAULT_TEXT = Path(__file__).resolve().parent.parent / "input.txt"


def parse_options(
    description: str | None, config_class: Any, presets: dict[str, dict] = PRESETS, add_flags: Callable | None = None
) -> argparse.Namespace:
    """Read the command line and set the number of threads.

    Returns a namespace with `config` (a `config_class`, with `max_steps` from --steps), `seed` (int), `device`
    (torch.device), `data` (Path), `threads` (int ≥ 1), `save` (Path or None) and `last_step` (int; None for the
    documented run of tasks 1 to 5, whose log has no line for it). For a TrainingConfig (from task 7 on) --preset
    chooses one of the `presets` (name → changes to the config's defaults), and the namespace has `resume` (Path or
    None) and `save_every` (int). `add_flags` may add a script's own flags to the parser.
    Raises UserError where a value is unusable.
    """
    trains_long = issubclass(config_class, TrainingConfig)
    parser = Parser(description=description)
    count = partial(parser.add_argument, metavar="N")
    file = partial(parser.add_argument, metavar="PATH")
    steps = "the preset’s" if trains_long else config_class.max_steps
    count("--steps", "--epochs", type=whole_number(1), help=f"updates of the weights (default: {steps})")
    seed = whole_number(0, MOST_SEED)
    count("--seed", type=seed, default=42, help="seed of all random numbers (default: %(default)s)")
    devices = "auto, cuda, mps or cpu (default: %(default)s, the first of the other three that this machine has)"
    parser.add_argument("--device", type=_device, default="auto", metavar="NAME", help=devices)
    file("--data", type=path, default=DEFAULT_TEXT, help="your own text, UTF-8 (default: input.txt)")
    # One by default for the small models: a second thread gains a tenth on an idle machine, and on a busy one it
    # makes a run many times as long.
    threads = torch.get_num_threads() if trains_long else 1
    cores = whole_number(1, os.cpu_count() or 1)
    count("--threads", type=cores, default=threads, help="processor threads (default: %(default)s)")
    saved = "save checkpoints here, also at Ctrl-C" if trains_long else "save the weights here at the end"
    file("--save", type=_file_to_write, help=saved)
    if trains_long:
        from common import track

        default = "laptop on a CPU, documented elsewhere" if "documented" in presets else "laptop"
        parser.add_argument("--preset", choices=presets, help=f"the size of the run (default: {default})")
        count("--save-every", type=whole_number(1), default=100, help="steps between them (default: %(default)s)")
        tracked = "also log the losses, perplexity and accuracy there"
        parser.add_argument("--track", choices=track.KINDS, help=tracked)
        file("--resume", type=path, help="continue from a checkpoint")
    if add_flags:
        add_flags(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.save and not trains_long:
        from common.checkpoint import check_place  # here: the first lessons import nothing of later ones

        check_place(options.save, None, "remove it")
    changes = _start_training(options, config_class, presets) if trains_long else {}
    if options.steps:
        changes = changes | {"max_steps": options.steps}
    options.config = dataclasses.replace(config_class(), **changes)
    check_sizes(options.config)
    if trains_long:
        _say_what_begins(options)
    options.last_step = None if options.config == config_class() else options.config.max_steps - 1
    return options


def save_weights(model: nn.Module, corpus: Corpus, options: argparse.Namespace) -> None:
    """Save a trained model to the file of --save, if there is one. Raises OSError if that fails."""
    if options.save:
        from common.checkpoint import save_run

        save_run(options.save, model, [], corpus, options.config, options.config.max_steps, options.seed)


def _start_training(options: argparse.Namespace, config_class: Any, presets: dict[str, dict]) -> dict:
    """Join other processes, look at the places of checkpoints, choose a preset; what it changes in a Config."""
    from common import parallel
    from common.checkpoint import check_place

    options.device = parallel.start(options.device)
    if options.save and parallel.restarted():
        options.resume = options.save if options.save.exists() else options.resume
    elif options.save and parallel.rank() == 0:
        check_place(options.save, options.resume, "--resume it, remove it")
        parallel.begin()
    for_gpu = options.device.type != "cpu" and "documented" in presets
    options.preset = options.preset or ("documented" if for_gpu else "laptop")
    return preset_changes(config_class, options.preset, presets)


def _say_what_begins(options: argparse.Namespace) -> None:
    config, has_bfloat16 = options.config, product_dtype(options.device) == torch.bfloat16
    device = "processor" if options.device.type == "cpu" else "GPU"
    products = f"bfloat16, which this {device} has" if has_bfloat16 else f"float32: this {device} has no bfloat16"
    every = "every block" if config.eval_every == 1 else f"one in {config.eval_every} blocks"
    sample = f"{every} of the validation text" if config.whole_split else "random batches"
    hint(f"Preset {options.preset}: {config.max_steps} steps. Products in {products}. Losses over {sample}.")


def _file_to_write(name: str) -> Path:
    place = path(name)
    if place.is_dir() or not place.parent.is_dir():  # reported now, not at the first save
        raise argparse.ArgumentTypeError(f"expected a file in a folder that exists, got '{name}'")
    return place


def _device(name: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
    if name not in available:
        raise argparse.ArgumentTypeError(f"expected auto, cuda, mps or cpu, got '{name}'")
    if not available[name]:
        raise argparse.ArgumentTypeError(f"this machine has no '{name}' that PyTorch can use")
    return torch.device(name)
