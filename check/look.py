"""Where does it look? python -m check look my_task03.py

Trains your model for some seconds (or takes the weights of `--weights`), lets it read a line of the validation text,
and draws its attention: a row for each position that looks, a column for each that is looked at. `--png FILE` draws all
heads with matplotlib (pip install matplotlib). The weights are found by listening to softmax, so that names are free.
"""

import contextlib
import importlib.util
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from check.names import own_file, task_named
from check.one import as_python, readable
from check.state import State
from common.checkpoint import load
from common.data import Corpus
from common.options import DEFAULT_TEXT
from common.parser import Parser, path, whole_number
from common.precision import low_precision
from common.run import UserError, progress
from exercises.build import ROOT

import torch
from torch.nn import functional as F

SHADES = " ░▒▓█"
LENGTH = 24  # characters read


def main() -> None:
    parser = Parser(prog="python -m check look", description=__doc__)
    parser.add_argument("file", help="your file, or its task")
    parser.add_argument(
        "--seconds", type=whole_number(1, 3600), default=10, metavar="N", help="of training (default: 10)"
    )
    parser.add_argument("--weights", type=path, metavar="FILE", help="a checkpoint of your file, instead of training")
    parser.add_argument("--layer", type=whole_number(1, 100), default=1, metavar="N", help="(default: 1, the first)")
    parser.add_argument("--png", type=path, metavar="FILE", help="draw all layers and heads into a picture")
    options = parser.parse_args()
    file = path(options.file)
    if not file.suffix and not file.exists():
        file = own_file(task_named(options.file), State().folder)
    readable(file)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with as_python(file) as code:
        module = _import(code)
    model, corpus = _ready(module, file, options)
    text, weights = attention(model, corpus)
    if options.layer > len(weights):
        raise UserError(f"--layer {options.layer}: the model has {len(weights)}")
    if options.png:
        _picture(text, weights, options.png)
        print(f"{options.png}: written")
        return
    print(f"Layer {options.layer} of {len(weights)}. Each row is a position; it takes most from the darkest columns.\n")
    for head, one in enumerate(weights[options.layer - 1], 1):
        print(drawn(text, one, f"head {head} of {len(weights[options.layer - 1])}"))


def _import(file: Path):
    sys.path[:0] = [str(ROOT)]
    spec = importlib.util.spec_from_file_location("looked_at", file)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules["looked_at"] = module
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except Exception as error:
        raise UserError(
            f"{file.name}: {type(error).__name__}: {error}; python -m check {file.name} says more"
        ) from error
    for name in ("Config", "GPT"):
        if not hasattr(module, name):
            raise UserError(f"{file.name}: has no {name}; only tasks can be looked at")
    return module


def _ready(module, file: Path, options):
    """The model, trained, and its text."""
    try:
        config = module.Config()
        if options.weights:
            state = load(options.weights)
            config = module.Config(**{k: v for k, v in state["config"].items() if k in module.Config.__annotations__})
        corpus = Corpus(DEFAULT_TEXT, config.block_size)
        model = module.GPT(config, len(corpus.vocabulary))
        if options.weights:
            model.load_state_dict(state["model"])
        else:
            _train(model, corpus, config, options.seconds)
    except NotImplementedError as missing:
        raise UserError(f"{file.name}: not written yet: {missing}") from missing
    except (RuntimeError, TypeError, AttributeError, KeyError, ValueError) as error:
        raise UserError(f"{file.name}: {type(error).__name__}: {str(error).splitlines()[0]}") from error
    return model.eval(), corpus


def _train(model, corpus: Corpus, config, seconds: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    until = time.monotonic() + seconds
    progress.where = "while it trained"
    while time.monotonic() < until:
        tokens, targets = corpus.batch("train", min(config.batch_size, 16))
        with low_precision(torch.device("cpu")):
            out = model(tokens)
        logits = out[0] if isinstance(out, tuple) else out
        loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def attention(model, corpus: Corpus) -> tuple[str, list[torch.Tensor]]:
    """A line of the validation text, and for each layer the weights (heads, T, T). Raises UserError without any."""
    length = min(LENGTH, corpus.block_size)
    tokens = corpus.splits["val"][:length].long()[None]
    with heard() as found:
        model(tokens)
    squares = [w[0].reshape(-1, length, length) for w in found if w.shape[-2:] == (length, length)]
    if not squares:
        raise UserError("no attention was seen: no softmax made weights of (T, T)")
    per_layer = max(1, len(squares) // max(1, _layers(model)))  # a module for each head calls softmax for itself
    layers = [torch.cat(squares[i : i + per_layer]) for i in range(0, len(squares), per_layer)]
    return corpus.decode(tokens[0]), layers


def _layers(model) -> int:
    """How many blocks a model has: the longest list of modules of one class that is not inside another."""
    lists = [m for m in model.children() if isinstance(m, torch.nn.Sequential | torch.nn.ModuleList)]
    return max((len(each) for each in lists), default=1)


@contextlib.contextmanager
def heard() -> Iterator[list[torch.Tensor]]:
    """Inside, all that a softmax returns is kept, and the weights of the library's own attention."""
    found: list[torch.Tensor] = []
    places: list[tuple] = [(torch, "softmax"), (torch.Tensor, "softmax"), (F, "scaled_dot_product_attention")]
    kept = [getattr(owner, name) for owner, name in places]

    def listening(function):
        def call(*arguments, **options):
            result = function(*arguments, **options)
            found.append(result.float())
            return result

        return call

    def library(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **options):
        scores = q @ k.transpose(-2, -1) * (scale or q.shape[-1] ** -0.5)
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril() if is_causal else attn_mask
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        weights = kept[0](scores, dim=-1)
        found.append(weights.float())
        return weights @ v

    try:
        for (owner, name), function in zip(places[:2], kept, strict=False):  # F.softmax calls the second
            setattr(owner, name, listening(function))
        F.scaled_dot_product_attention = library  # type: ignore[assignment]
        yield found
    finally:
        for (owner, name), function in zip(places, kept, strict=True):
            setattr(owner, name, function)


def drawn(text: str, weights: torch.Tensor, title: str) -> str:
    """Weights (T, T) as blocks, two columns wide, darker for more."""
    shown = ["⏎" if c == "\n" else "·" if c == " " else c for c in text]
    lines = [title, "   " + "".join(f"{c} " for c in shown).rstrip()]
    for character, row in zip(shown, weights, strict=True):
        shades = [SHADES[min(4, int(4 * float(w) + 0.999))] if w > 0.02 else " " for w in row]
        lines.append(f" {character} " + "".join(s * 2 for s in shades).rstrip())
    return "\n".join([*lines, ""])


def _picture(text: str, weights: list[torch.Tensor], place: Path) -> None:
    from studies.report import pyplot

    shown = ["⏎" if c == "\n" else "·" if c == " " else c for c in text]
    heads = max(map(len, weights))
    plots = pyplot()
    figure, axes = plots.subplots(
        len(weights), heads, squeeze=False, layout="constrained", figsize=(3.2 * heads, 3.4 * len(weights))
    )
    for i, layer in enumerate(weights):
        for j in range(heads):
            axis = axes[i][j]
            if j >= len(layer):
                axis.axis("off")
                continue
            axis.imshow(layer[j].tolist(), cmap="Blues", vmin=0, vmax=1)
            axis.set_title(f"layer {i + 1}, head {j + 1}", fontsize=9)
            axis.set_xticks(range(len(shown)), shown, fontsize=7)
            axis.set_yticks(range(len(shown)), shown, fontsize=7)
    try:
        figure.savefig(place, dpi=110, format="png")
    except OSError as error:
        raise UserError(f"{place}: {error.strerror}") from error
    finally:
        plots.close(figure)
