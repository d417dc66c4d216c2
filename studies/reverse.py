"""Is the causal mask right? python -m studies.reverse

Task 7's GPT learns sequences of random symbols, each followed by its own reverse. The symbols of the first half are
random, so a correct model cannot get below ln V nats there (V symbols); with a mask that leaks, it can. The second half
follows from the first, and attention must look back along an anti-diagonal to predict it. Each step has new sequences,
so nothing can be learned by heart.

Prints the loss of both halves, then writes docs/images/reverse.png: where each position looks. With
`--model my_gpt.py` your own model learns instead, without a picture.
"""

import math
import time
from pathlib import Path
from typing import Any

import task07
from common.heard import heard
from common.optim import get_lr
from common.parser import Parser, whole_number
from common.run import progress, run
from studies import own
from studies.report import DOCS, add_number, add_seed, add_threads, pyplot

import torch
from torch.nn import functional as F

SYMBOLS = 16
BATCH = 64
TESTED = 2000  # fresh sequences


def draw(rows: int, length: int) -> torch.Tensor:
    """(rows, 2 · length): random symbols, and the same backwards."""
    first = torch.randint(SYMBOLS, (rows, length))
    return torch.cat([first, first.flip(1)], dim=1)


def build(length: int, steps: int, path: Path | None = None):
    """A small GPT of task 7, or of a file, whose block holds a whole sequence, and its Config."""
    sizes: dict[str, Any] = {"block_size": 2 * length - 1, "n_embd": 64, "n_head": 1, "n_layer": 2, "dropout": 0.0}
    recipe: dict[str, Any] = {"max_steps": steps, "learning_rate": 2e-3, "warmup": 50 / steps, "cooldown": 0.5}
    config = task07.Config(**sizes, **recipe)
    return own.load(path, config, SYMBOLS) if path else task07.GPT(config, SYMBOLS), config


def learn(model, config, length: int) -> None:
    """Train on fresh sequences, all positions alike."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, fused=True)
    for step in range(config.max_steps):
        progress.where = f"at step {step} of {config.max_steps}"
        optimizer.param_groups[0]["lr"] = config.learning_rate * get_lr(step, config)
        sequences = draw(BATCH, length)  # (B, T + 1)
        loss = F.cross_entropy(model(sequences[:, :-1]).flatten(0, 1), sequences[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 500 == 0:
            print(f"Step {step}: loss {loss.item():.4f}", flush=True)


@torch.no_grad()
def judge(model, length: int) -> tuple[float, float]:
    """Loss of the first half (nats a symbol; its first symbol is given), accuracy of the second."""
    sequences = draw(TESTED, length)
    model.eval()
    logits, targets = model(sequences[:, :-1]), sequences[:, 1:]  # (B, T, V), (B, T)
    known = length - 1  # from here on the target is a symbol that was shown
    first = F.cross_entropy(logits[:, :known].flatten(0, 1), targets[:, :known].flatten()).item()
    accuracy = (logits[:, known:].argmax(dim=-1) == targets[:, known:]).float().mean().item()
    return first, accuracy


@torch.no_grad()
def attention_maps(model, length: int) -> list[torch.Tensor]:
    """For each block the weights (T, T) of its head, on average over some sequences."""
    with heard() as found:
        model(draw(200, length)[:, :-1])
    return [weights.mean(dim=(0, 1)) for weights in found]


def plot(maps, length: int) -> None:
    """docs/images/reverse.png: a square a block, whose rows look at columns."""
    figure, all_axes = pyplot().subplots(1, len(maps), figsize=(5 * len(maps), 4.6), layout="constrained")
    for number, (weights, axes) in enumerate(zip(maps, all_axes, strict=True), 1):
        image = axes.imshow(weights, cmap="cividis", vmin=0, vmax=1)  # told apart by colour-blind eyes too
        axes.axhline(length - 1.5, color="white", linestyle=":", linewidth=1)
        axes.set(title=f"block {number}", xlabel="position looked at", ylabel="position that predicts the next symbol")
    figure.colorbar(image, ax=all_axes, label="attention weight, mean over 200 sequences")
    figure.savefig(DOCS / "images" / "reverse.png", dpi=100)


def main() -> None:
    parser = Parser(description=__doc__)
    said = "of the first half, 8 to 32 (default: %(default)s)"
    parser.add_argument("--length", type=whole_number(8, 32), default=16, metavar="N", help=said)
    add_number(parser, "--steps", 800, least=50)
    add_seed(parser)
    add_threads(parser, 1)
    parser.add_argument("--model", type=Path, metavar="FILE", help="your own model, without the picture")
    parser.add_argument("--quick", action="store_true", help="length 8, 200 steps, no picture: a test, not a result")
    options = parser.parse_args()
    if options.quick:
        options.length, options.steps = 8, 200
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    start = time.perf_counter()
    model, config = build(options.length, options.steps, options.model)
    learn(model, config, options.length)
    first, accuracy = judge(model, options.length)
    blind = math.log(SYMBOLS)
    print(f"\nFirst half: loss {first:.4f}, ln {SYMBOLS} = {blind:.4f}, {first / blind - 1:+.2%}")
    print(f"Second half: accuracy {accuracy:.4%}")
    print(f"# length {options.length}, seed {options.seed}, {time.perf_counter() - start:.0f} s")
    if not options.quick and not options.model:
        plot(attention_maps(model, options.length), options.length)


if __name__ == "__main__":
    run(main)
