"""The flags that every script shares."""

import argparse
from pathlib import Path

import torch

from common.exits import UserError

DEFAULT_TEXT = Path(__file__).resolve().parent.parent / "input.txt"


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message} (see --help)")


def parse_options(description: str, epochs: int) -> argparse.Namespace:
    """Read the command line and set the number of threads; the defaults are the documented run.

    Returns a namespace with `epochs` (int ≥ 1), `seed` (int), `device` (torch.device), `data` (Path)
    and `threads` (int ≥ 1). Raises UserError where a value is unusable.
    """
    parser = _Parser(description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--epochs", type=_at_least(1), default=epochs, metavar="N", help="training steps (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=_at_least(0), default=42, metavar="N", help="seed of all random numbers (default: %(default)s)"
    )
    parser.add_argument(
        "--device", type=_device, default="auto", metavar="NAME",
        help="auto, cuda, mps or cpu (default: %(default)s, the first of these three that is there)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_TEXT, metavar="PATH", help="your own text, UTF-8 (default: input.txt)"
    )
    # One by default: with models this small a second thread gains a tenth while the machine is idle, and
    # costs a run many times its length when another program wants that core.
    parser.add_argument(
        "--threads", type=_at_least(1), default=1, metavar="N", help="processor threads (default: %(default)s)"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    return options


def _at_least(least: int):
    def parse(text: str) -> int:
        if not (text.removeprefix("+").isdecimal() and least <= int(text) < 2**63):
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got '{text}'")
        return int(text)

    return parse


def _device(name: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
    if name not in available:
        raise argparse.ArgumentTypeError(f"expected auto, cuda, mps or cpu, got '{name}'")
    if not available[name]:
        raise argparse.ArgumentTypeError(f"this machine has no '{name}' that PyTorch can use")
    return torch.device(name)
