"""What task 8 needs besides its lesson: flags, trained weights, and writing text as it comes."""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from common.checkpoint import load, naming, put_weights
from common.parser import MOST_SEED, Parser, number, path, whole_number
from common.progress import hint
from common.run import UserError
from common.terminal import keyboard_without

import torch
from torch import nn
from torch.nn import functional as F

COLDEST = 1e-6  # a temperature below it overflows, and takes the likeliest as 0 does
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "shakespeare.pt"
SCRIPTS = ("task07", "task06")  # whose weights task 8 reads: their parameters have the same names


def parse_options(description: str | None) -> argparse.Namespace:
    """Read the command line and set one thread: a single position's work is too small to share.

    Returns a namespace with `prompt`, `seed`, `tokens` (how many), `speed` (characters a second, or None), `weights`
    and `sampling` (temperature, top_k and top_p). Raises UserError if a value is unusable.
    """
    parser = Parser(description=description)
    count = partial(parser.add_argument, metavar="N")
    quantity = partial(parser.add_argument, metavar="X")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="the beginning of the text (default: a new line)")
    temperature = "0 always takes the likeliest character, 1 draws as the model predicts (default: %(default)s)"
    quantity("--temperature", type=number(0, 100), default=0.8, help=temperature)
    top_k = "draw from the N likeliest characters only (default: 0, from all)"
    count("--top-k", type=whole_number(0), default=0, help=top_k)
    top_p = "draw from the fewest characters that together have this probability (default: %(default)s, from all)"
    quantity("--top-p", type=number(0, 1), default=1.0, help=top_p)
    seed = "the same seed gives the same text (default: a different text each time)"
    count("--seed", type=whole_number(0, MOST_SEED), help=seed)
    count("--tokens", type=whole_number(0), default=sys.maxsize, help="stop after N characters (default: never)")
    speed = "at most that many characters a second; 30 is a pleasant reading speed (default: no limit)"
    parser.add_argument("--speed", type=number(0.1, 10**6), metavar="CPS", help=speed)
    weights = "a file that task 7 or 6 wrote with `--save` (default: weights/shakespeare.pt)"
    parser.add_argument("--weights", type=path, default=WEIGHTS, metavar="PATH", help=weights)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = torch.seed() % (MOST_SEED + 1)
        hint(f"--seed {options.seed}")
    options.sampling = {"temperature": options.temperature, "top_k": options.top_k, "top_p": options.top_p}
    if options.temperature < COLDEST:
        options.sampling |= {"temperature": 1.0, "top_k": 1}
    torch.set_num_threads(1)
    return options


def load_model(place: Path, model_class: type, config_class: type) -> tuple[nn.Module, str]:
    """The trained model of a checkpoint of task 7 or 6, in evaluation mode, and its vocabulary.

    Raises UserError for a file that is missing, or that holds another model.
    """
    if not place.exists():
        raise UserError(f"{place}: no such file; python {SCRIPTS[0]}.py --save {place} makes one")
    with naming(place):
        state = load(place, *SCRIPTS)
        model = model_class(config_class(**state["config"]), len(state["vocabulary"]))
        put_weights(place, model, state)
    return model.eval(), state["vocabulary"]


def encode(prompt: str, vocabulary: str) -> torch.Tensor:
    """A prompt's tokens (1, T). An empty prompt begins with a line break, or else with the first symbol.

    Raises UserError for a symbol that the model does not know.
    """
    for symbol in prompt:
        if symbol not in vocabulary:
            raise UserError(f"argument --prompt: the model knows no {symbol!r}; it knows {vocabulary.strip()}")
    beginning = prompt or ("\n" if "\n" in vocabulary else vocabulary[0])
    return torch.tensor([[vocabulary.index(symbol) for symbol in beginning]])


def keep_likely(logits: torch.Tensor, temperature: float, top_k: int, top_p: float) -> torch.Tensor:
    """Logits (B, V) with -inf for the tokens that may not be drawn.

    Kept are the top_k likeliest (0: all) and, of them, the fewest that together have at least the probability top_p
    at this temperature; the likeliest is always kept.
    Sources: top-k, https://arxiv.org/abs/1805.04833; top-p, https://arxiv.org/abs/1904.09751.
    """
    if not top_k and top_p == 1:
        return logits
    shifted = logits - logits.amax(dim=-1, keepdim=True)  # (B, V), at most 0
    ranked, order = F.softmax(shifted / temperature, dim=-1).sort(descending=True, stable=True)  # (B, V) each
    before = ranked.cumsum(dim=-1) - ranked  # (B, V), the probability of those ranked higher
    unlikely = before >= top_p
    unlikely[:, top_k or len(ranked[0]) :] = True
    unlikely[:, 0] = False
    return logits.masked_fill(torch.zeros_like(unlikely).scatter(-1, order, unlikely), float("-inf"))


def write(tokens: Iterator[torch.Tensor], vocabulary: str, options: argparse.Namespace) -> None:
    """Print the prompt and then each token (1, 1) as it comes. Ctrl-C ends the text with a line break.

    At a terminal, a last line says how many characters there were, and how fast they came.
    """
    written, start = 0, time.monotonic()
    with keyboard_without("ECHO"):  # no ^C in the text
        try:
            print(options.prompt, end="", flush=True)  # print() writes nothing where stdout is closed
            for token in itertools.islice(tokens, options.tokens):
                if options.speed:
                    time.sleep(max(0.0, start + written / options.speed - time.monotonic()))
                print(vocabulary[token], end="", flush=True)
                written += 1
        except KeyboardInterrupt:
            pass
    seconds = time.monotonic() - start
    print()
    hint(f"{written} characters, {written / max(seconds, 1e-9):.0f} characters/s")
