"""The flags that every script shares."""

import argparse
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import torch

from common import parallel
from common.parser import Parser
from common.progress import hint

DEFAULT_TEXT = Path(__file__).resolve().parent.parent / "input.txt"


def parse_options(
    description: str, epochs: int | None = None, presets: dict | None = None, add_flags: Callable | None = None
) -> argparse.Namespace:
    """Read the command line and set the number of threads; the defaults are the documented run.

    Returns a namespace with `epochs` (int ≥ 1), `seed` (int), `device` (torch.device), `data` (Path)
    and `threads` (int ≥ 1). With `presets` (name → Config, from task 7 on: "documented" and "laptop")
    also `config`, the chosen one with `epochs` put in, and `save`, `save_every`, `resume`. `add_flags` may
    add a script's own to the parser.
    Raises UserError where a value is unusable.
    """
    parser = Parser(description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--epochs",
        type=whole_number(1),
        default=epochs,
        metavar="N",
        help=f"training steps (default: {epochs or 'as the preset has it'})",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0),
        default=42,
        metavar="N",
        help="seed of all random numbers (default: %(default)s)",
    )
    parser.add_argument(
        "--device", type=_device, default="auto", metavar="NAME",
        help="auto, cuda, mps or cpu (default: %(default)s, the first of these three that is there)",
    )  # fmt: skip
    parser.add_argument(
        "--data",
        type=_text_file,
        default=DEFAULT_TEXT,
        metavar="PATH",
        help="your own text, UTF-8 (default: input.txt)",
    )
    # One by default: with models this small a second thread gains a tenth while the machine is idle, and
    # costs a run many times its length when another program wants that core.
    threads = torch.get_num_threads() if presets else 1
    parser.add_argument(
        "--threads",
        type=whole_number(1, os.cpu_count() or 1),
        default=threads,
        metavar="N",
        help="processor threads (default: %(default)s)",
    )
    if presets:
        _add_training_flags(parser, presets)
    if add_flags:
        add_flags(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if presets:
        options.device = parallel.start(options.device)
        if parallel.restarted() and options.save and options.save.exists():
            options.resume = options.save
        for_gpu = options.device.type != "cpu" and "documented" in presets
        name = options.preset or ("documented" if for_gpu else "laptop")
        options.config = presets[name]
        if options.epochs:
            options.config = dataclasses.replace(options.config, epochs=options.epochs, time="for a try")
        sample = "whole validation text and as much training text" if options.config.whole_split else "random batches"
        hint(f"preset {name}: {options.config.epochs} epochs, {options.config.time}; losses over {sample}")
    return options


def _add_training_flags(parser: argparse.ArgumentParser, presets: dict) -> None:
    default = "laptop on a CPU, documented elsewhere" if "documented" in presets else "laptop"
    parser.add_argument("--preset", choices=presets, help=f"the size of the run (default: {default})")
    parser.add_argument("--save", type=_file_to_write, metavar="PATH", help="write checkpoints here, also at Ctrl-C")
    parser.add_argument(
        "--save-every",
        type=whole_number(1),
        default=100,
        metavar="N",
        help="epochs between them (default: %(default)s)",
    )
    parser.add_argument("--resume", type=Path, metavar="PATH", help="go on from a checkpoint")


def whole_number(least: int, most: int = 10**9):
    """A type for argparse: a whole number in a range."""

    def parse(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) <= 20 and least <= int(text) <= most:
            return int(text)
        shown = text if len(text) <= 20 else text[:20] + "…"
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, got '{shown}'")

    return parse


def _text_file(name: str) -> Path:
    if not name:
        raise argparse.ArgumentTypeError("expected the path of a text file")
    return Path(name)


def _file_to_write(name: str) -> Path:
    path = Path(name)
    if path.is_dir() or not path.parent.is_dir():  # said now, not when the first save is due
        raise argparse.ArgumentTypeError(f"expected a file in a folder that exists, got '{name}'")
    return path


def _device(name: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
    if name not in available:
        raise argparse.ArgumentTypeError(f"expected auto, cuda, mps or cpu, got '{name}'")
    if not available[name]:
        raise argparse.ArgumentTypeError(f"this machine has no '{name}' that PyTorch can use")
    return torch.device(name)
