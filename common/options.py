"""The flags that every lesson shares."""

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import parallel, track
from common.checkpoint import check_place
from common.config import PRESETS, TrainingConfig, check_sizes
from common.parser import MOST_SEED, Parser, path, whole_number
from common.progress import hint
from common.run import UserError

import torch

DEFAULT_TEXT = Path(__file__).resolve().parent.parent / "input.txt"


def parse_options(
    description: str | None,
    config_class: Any,
    presets: dict[str, dict] = PRESETS,
    add_flags: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse.Namespace:
    """Read the command line and set the number of threads.

    Returns a namespace with `config` (a `config_class`, with `max_steps` from --steps), `seed` (int), `device`
    (torch.device), `data` (Path) and `threads` (int ≥ 1). For a TrainingConfig (from task 7 on) --preset chooses one
    of the `presets` (name → changes to the config's defaults), and the namespace has `save` and `resume` (Path or
    None) and `save_every` (int). `add_flags` may add a script's own flags.
    Raises UserError where a value is unusable.
    """
    trains_long = issubclass(config_class, TrainingConfig)
    parser = Parser(description=description)
    parser.add_argument(
        "--steps",
        "--epochs",
        type=whole_number(1),
        metavar="N",
        help=f"updates of the weights (default: {'the preset’s' if trains_long else config_class.max_steps})",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, MOST_SEED),
        default=42,
        metavar="N",
        help="seed of all random numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--device",
        type=_device,
        default="auto",
        metavar="NAME",
        help="auto, cuda, mps or cpu (default: %(default)s, the first of these three that is there)",
    )
    parser.add_argument(
        "--data",
        type=path,
        default=DEFAULT_TEXT,
        metavar="PATH",
        help="your own text, UTF-8 (default: input.txt)",
    )
    # One by default for the small models: a second thread gains a tenth on an idle machine, and on a busy one it
    # makes a run many times as long.
    parser.add_argument(
        "--threads",
        type=whole_number(1, os.cpu_count() or 1),
        default=torch.get_num_threads() if trains_long else 1,
        metavar="N",
        help="processor threads (default: %(default)s)",
    )
    if trains_long:
        _add_training_flags(parser, presets)
    if add_flags:
        add_flags(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    changes = {"max_steps": options.steps} if options.steps else {}
    if not trains_long:
        options.config = dataclasses.replace(config_class(), **changes)
        check_sizes(options.config)
        return options
    options.device = parallel.start(options.device)
    if options.save and parallel.restarted():
        if options.save.exists():
            options.resume = options.save
    elif options.save and parallel.rank() == 0:
        check_place(options.save)
        if options.save.exists() and options.save.stat().st_size and not _same(options.save, options.resume):
            raise UserError(f"{options.save}: a checkpoint is there already; --resume it, remove it, or save elsewhere")
        parallel.begin()
    for_gpu = options.device.type != "cpu" and "documented" in presets
    name = options.preset or ("documented" if for_gpu else "laptop")
    options.config = dataclasses.replace(config_class(), **presets[name] | changes)
    sample = "the whole validation text and as much training text" if options.config.whole_split else "random batches"
    hint(f"Preset {name}: {options.config.max_steps} steps. Losses over {sample}.")
    return options


def _same(one: Path, other: Path | None) -> bool:
    return other is not None and other.exists() and one.resolve() == other.resolve()


def _add_training_flags(parser: argparse.ArgumentParser, presets: dict[str, dict]) -> None:
    default = "laptop on a CPU, documented elsewhere" if "documented" in presets else "laptop"
    parser.add_argument("--preset", choices=presets, help=f"the size of the run (default: {default})")
    parser.add_argument("--save", type=_file_to_write, metavar="PATH", help="write checkpoints here, also at Ctrl-C")
    parser.add_argument(
        "--save-every",
        type=whole_number(1),
        default=100,
        metavar="N",
        help="steps between them (default: %(default)s)",
    )
    parser.add_argument(
        "--track", choices=track.KINDS, help="note the log's numbers, perplexity and accuracy there too"
    )
    parser.add_argument("--resume", type=path, metavar="PATH", help="go on from a checkpoint")


def _file_to_write(name: str) -> Path:
    place = path(name)
    if place.is_dir() or not place.parent.is_dir():  # said now, not when the first save is due
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
