"""What task 8 needs beside its lesson: flags, trained weights, and writing text as it comes."""

import argparse
import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import torch

from common import checkpoint
from common.counts import Guesses
from common.data import Corpus
from common.exits import UserError
from common.options import DEFAULT_TEXT, Parser, whole_number
from common.progress import hint

BEST_WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "shakespeare.pt"


def parse_options(description: str) -> argparse.Namespace:
    """Read the command line: `prompt`, `temperature`, `top_k`, `top_p`, `seed`, `tokens`, `speed`, `weights`.

    Sets the number of threads to one: a single position's work is too small to share.
    Raises UserError where a value is unusable.
    """
    parser = Parser(description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", default="", metavar="TEXT", help="how the text begins (default: with a new line)")
    parser.add_argument("--temperature", type=_number(0, 100), default=0.8, metavar="X",
                        help="0 always takes the likeliest character, 1 draws as the model predicts "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--top-k", type=whole_number(0), default=0, metavar="N",
                        help="draw from the N likeliest characters only (default: 0, from all)")  # fmt: skip
    parser.add_argument("--top-p", type=_number(0, 1), default=1.0, metavar="X",
                        help="draw from the fewest characters that together have this probability "
                        "(default: %(default)s, from all)")  # fmt: skip
    parser.add_argument("--seed", type=whole_number(0), default=None, metavar="N",
                        help="the same seed writes the same text (default: another text each time)")  # fmt: skip
    parser.add_argument("--tokens", type=whole_number(0), default=None, metavar="N",
                        help="stop after N characters (default: never)")  # fmt: skip
    parser.add_argument("--speed", type=_number(0.1, 1e6), default=None, metavar="CPS",
                        help="at most so many characters a second; 30 is pleasant to read along "
                        "(default: as fast as they come)")  # fmt: skip
    parser.add_argument("--weights", type=Path, default=BEST_WEIGHTS, metavar="PATH",
                        help="what `--save` of task 7, task 9 or the speedrun wrote "
                        "(default: weights/shakespeare.pt)")  # fmt: skip
    options = parser.parse_args()
    if options.seed is None:
        options.seed = torch.seed() % 2**31
        hint(f"--seed {options.seed}")
    torch.set_num_threads(1)
    return options


def load_model(path: Path) -> tuple[torch.nn.Module, str]:
    """The trained model that a file holds, ready to write (no dropout, float32), and its vocabulary.

    Reads committed weights and checkpoints of a run. Raises UserError for a file that is neither.
    """
    if not path.exists():
        name = os.path.relpath(path)
        raise UserError(f"{name}: no such file; python task09_rope.py --save {name} makes one")
    state = checkpoint.load(path)
    try:
        script = "task07" if "position_embedding.weight" in state["model"] else "task09_rope"
        if "qk_norm" in state["config"]:
            script = "studies.speedrun"
        model = importlib.import_module(script).GPT(SimpleNamespace(**state["config"]), len(state["vocabulary"]))
        model.load_state_dict(state["model"])
    except (KeyError, AttributeError, TypeError, RuntimeError) as error:
        raise UserError(f"{path}: holds no model of task 7, task 9 or the speedrun") from error
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):  # the same matrix, columns side by side: a vector's product reads these
            layer.weight.data = layer.weight.data.t().contiguous().t()
    return model.eval(), state["vocabulary"]


def load_guesses(vocabulary: str) -> Guesses | None:
    """What the training text suggests to come next, where it is at hand and of this vocabulary."""
    try:
        corpus = Corpus(DEFAULT_TEXT, block_size=1)
    except UserError:
        return None
    return Guesses(corpus.splits["train"], len(vocabulary)) if corpus.vocabulary == vocabulary else None


def encode(text: str, vocabulary: str) -> list[int]:
    """A prompt's tokens. Raises UserError for a symbol that the model never met."""
    for symbol in text:
        if symbol not in vocabulary:
            raise UserError(f"argument --prompt: the model knows no {symbol!r}; it knows {vocabulary.strip()}")
    return [vocabulary.index(symbol) for symbol in text]


def write(tokens: Iterator[torch.Tensor], vocabulary: str, options: argparse.Namespace) -> None:
    """Print the prompt and then each token as it comes, `options.tokens` of them or for ever."""
    sys.stdout.write(options.prompt)
    start, written = time.monotonic(), 0
    while options.tokens is None or written < options.tokens:
        token = next(tokens)
        if options.speed:
            time.sleep(max(0.0, start + written / options.speed - time.monotonic()))
        sys.stdout.write(vocabulary[token])
        sys.stdout.flush()
        written += 1
    sys.stdout.write("\n")


def _number(least: float, most: float):
    """A type for argparse: a number in a range."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least:g} to {most:g}, got '{text[:20]}'")
        return number

    return parse
