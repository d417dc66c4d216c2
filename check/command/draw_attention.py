"""Draw a picture of your model's attention: python -m check look my_task03.py

Trains your model for some seconds (or reads the weights of `--weights`), and lets it read a line of the validation
text. Then it draws the attention weights: a row for each position that looks, a column for each position that it may
look at. `--png FILE` draws all heads with matplotlib (pip install matplotlib). The weights are what softmax returns,
so you may choose any names.
"""

import math
import sys
import time
from pathlib import Path

from check.command.check_file import meant, readable
from check.command.names import command
from check.isolated.worker import Learner
from common.checkpoint import load
from common.data import Corpus
from common.extras import optional
from common.heard import heard
from common.options import DEFAULT_TEXT
from common.parser import Parser, path, whole_number
from common.run import UserError, progress
from common.terminal import columns, is_terminal, say, status
from exercises.build import ROOT

import torch

SHADES = " ░▒▓█"
LEGEND = (
    "Each row is a position, each column one that it looks at; the fuller the block, the more it takes from there: "
    "░ up to a quarter, ▒ half, ▓ three quarters, █ all."
)
VISIBLE = str.maketrans("\n ", "⏎·")
LENGTH = 24  # characters read
ROWS = 16  # of a training batch
MARGIN = 3  # columns


def main() -> None:
    parser = Parser(prog="python -m check look", description=__doc__)
    add = parser.add_argument
    add("words", nargs="+", metavar="TASK FILE", help="a task, your file, or both")
    add("--seconds", type=whole_number(1, 3600), default=10, metavar="N", help="of training (default: 10)")
    add("--weights", type=path, metavar="FILE", help="a checkpoint of your file, instead of training")
    add("--layer", type=whole_number(1, 100), default=1, metavar="N", help="(default: 1, the first)")
    add("--png", type=path, metavar="FILE", help="draw all layers and heads as a picture")
    options = parser.parse_args()
    words = options.words
    file = path(words[0]) if len(words) == 1 and Path(words[0]).is_file() else meant(words)[1]
    readable(file)
    torch.set_num_threads(1)
    learner, corpus = _ready(file, options)
    text, weights = attention(learner, corpus)
    if options.layer > len(weights):
        raise UserError(f"--layer {options.layer}: the model has {len(weights)}")
    if options.png:
        _picture(text, weights, options.png)
        say(f"{options.png}: written")
        return
    say(f"\nLayer {options.layer} of {len(weights)}. {LEGEND}\n")
    heads = weights[options.layer - 1]
    width = columns(sys.stdout) if is_terminal(sys.stdout) else 0
    shown = min(len(text), max(1, (width - MARGIN) // 2)) if width else len(text)
    panels = [drawn(text[:shown], one[:shown, :shown], f"head {n} of {len(heads)}") for n, one in enumerate(heads, 1)]
    print(side_by_side(panels, width))


def _ready(file: Path, options) -> tuple[Learner, Corpus]:
    """The learner's model, built and trained, and its text. Raises UserError for errors in the learner's code."""
    sys.path[:0] = [str(ROOT)]
    learner = Learner(file, paths=(str(file.resolve().parent),))
    try:
        state = load(options.weights) if options.weights else {"config": {}}
        learner.load()
        if not {"Config", "GPT"} <= vars(learner.module).keys():
            raise UserError(
                f"{file.name}: look needs a task's file, with Config and GPT; for a transformer: "
                f"python -m studies.reverse --model {file}"
            )
        block_size = state["config"].get("block_size") or learner.module.Config().block_size
        corpus = Corpus(DEFAULT_TEXT, block_size)
        learner.build(state["config"], len(corpus.vocabulary), seed=0)
        if options.weights:
            learner.models[0].load_state_dict(state["model"])
        else:
            say(f"Training {file} for {options.seconds} seconds, to see what it learns to look at.")
            steps, loss = _train(learner, corpus, options.seconds)
            say(f"{steps} steps, to a loss of {loss:.2f}; guessing has {math.log(len(corpus.vocabulary)):.2f}.")
    except NotImplementedError as missing:
        raise UserError(f"{file.name}: not written yet: {missing}") from missing
    except UserError:
        raise
    except Exception as error:  # whatever the learner's code raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{file.name}: {reason}; {command(file)} says more") from error
    return learner, corpus


def _train(learner: Learner, corpus: Corpus, seconds: int) -> tuple[int, float]:
    """Steps, and the last ones' mean loss."""
    optimizer = torch.optim.AdamW(learner.models[0].parameters(), lr=1e-3)
    until = time.monotonic() + seconds
    progress.where = "while it trained"
    losses: list[float] = []
    while time.monotonic() < until or not losses:
        losses.append(learner.gradients(0, *corpus.batch("train", ROWS))["loss"])
        optimizer.step()
        if len(losses) % 20 == 0:
            status.show(f"{until - time.monotonic():.0f} s left, loss {losses[-1]:.2f}")
    status.clear()
    return len(losses), sum(losses[-50:]) / len(losses[-50:])


@torch.no_grad()
def attention(learner: Learner, corpus: Corpus) -> tuple[str, list[torch.Tensor]]:
    """A line of the validation text, and for each layer the weights (heads, T, T). Raises UserError without any."""
    length = min(LENGTH, corpus.block_size)
    tokens = corpus.splits["val"][:length].long()[None]
    with heard() as found:
        learner.logits(0, tokens)
    squares = [w[0].reshape(-1, length, length) for w in found if w.shape[-2:] == (length, length)]
    if not squares:
        raise UserError("no attention was found: no softmax returned weights of shape (T, T)")
    per_layer = max(1, len(squares) // max(1, _layers(learner.models[0])))  # some heads call softmax for themselves
    layers = [torch.cat(squares[i : i + per_layer]) for i in range(0, len(squares), per_layer)]
    return corpus.decode(tokens[0]), layers


def _layers(model) -> int:
    """How many blocks a model has: the longest list of modules of one class that is not inside another."""
    lists = [m for m in model.children() if isinstance(m, torch.nn.Sequential | torch.nn.ModuleList)]
    return max((len(each) for each in lists), default=1)


def drawn(text: str, weights: torch.Tensor, title: str) -> list[str]:
    """Weights (T, T) as blocks, two columns wide, fuller for more: lines of one length."""
    shown = text.translate(VISIBLE)
    lines = [title, " " * MARGIN + "".join(f"{c} " for c in shown)]
    for character, row in zip(shown, weights, strict=True):
        shades = [SHADES[min(4, int(4 * float(w) + 0.999))] if w > 0.02 else " " for w in row]
        lines.append(f" {character} " + "".join(s * 2 for s in shades))
    return [line.ljust(MARGIN + 2 * len(shown)) for line in lines]


def side_by_side(panels: list[list[str]], width: int) -> str:
    """As many pictures of one size in a row as a width allows, at least one."""
    gap = " " * MARGIN
    at_once = max(1, (width + MARGIN) // (len(panels[0][0]) + MARGIN))
    rows = [panels[i : i + at_once] for i in range(0, len(panels), at_once)]
    return "\n\n".join("\n".join(gap.join(parts).rstrip() for parts in zip(*row, strict=True)) for row in rows) + "\n"


def _picture(text: str, weights: list[torch.Tensor], place: Path) -> None:
    heads, shown = max(map(len, weights)), [*text.translate(VISIBLE)]
    figure = optional("matplotlib.figure", "plots").Figure((3.2 * heads, 3.4 * len(weights)), layout="constrained")
    for i, row in enumerate(figure.subplots(len(weights), heads, squeeze=False)):
        for j, axis in enumerate(row):
            if j >= len(weights[i]):
                axis.axis("off")
                continue
            axis.imshow(weights[i][j].tolist(), cmap="Blues", vmin=0, vmax=1)
            axis.set_title(f"layer {i + 1}, head {j + 1}", fontsize=9)
            axis.set_xticks(range(len(shown)), shown, fontsize=7)
            axis.set_yticks(range(len(shown)), shown, fontsize=7)
    try:
        figure.savefig(place, dpi=110, format="png")
    except OSError as error:
        raise UserError(f"{place}: {error.strerror}") from error
