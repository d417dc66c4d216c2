"""How far does the speedrun come in the time of the usual laptop recipe? python -m studies.recipe

The recipe: 4 blocks, 128 wide, 4 heads, windows of 64, batches of 12, 2,000 steps of AdamW in float32, no
dropout (sizes, batches and steps that nanoGPT's README proposes for a laptop). First it trains and its seconds
are taken; then the speedrun's laptop preset trains for as long, the time of counting included, with a schedule
that follows the clock. Evaluations are not counted for either. Losses are in nats per character of the whole
validation split, in blocks side by side of 256 for the speedrun and of 64 for the recipe, which knows no longer
ones; for the recipe also with at least 32 characters before each.
"""

from common import exits
from common.exits import end_cleanly

end_cleanly(__name__)

import argparse
import dataclasses
import os
import platform
import time

import torch

import task07
from common import training
from common.counts import Counts
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT, Parser, whole_number
from studies import speedrun, timed

RECIPE = task07.Config(
    batch_size=12, block_size=64, n_embd=128, n_head=4, n_layer=4, dropout=0.0, paper_scale=True, epochs=2000,
    init_std=0.02, learning_rate=1e-3, weight_decay=0.1, grad_clip=1.0, warmup=100, cooldown=1900,
)  # fmt: skip


def train_recipe(seed: int, epochs: int) -> tuple[float, float, float]:
    """Its seconds of training and its losses, without and with a stride."""
    config = dataclasses.replace(RECIPE, epochs=epochs)
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    torch.manual_seed(seed)
    model = task07.GPT(config, len(corpus.vocabulary))
    training.initialize(model, config)
    optimizers = training.configure_optimizers(model, config)
    start = time.perf_counter()
    for epoch in range(epochs):
        training.update(model, corpus, config, optimizers, epoch, torch.autocast("cpu", enabled=False))
    seconds = time.perf_counter() - start
    return seconds, score_split(model, corpus, "val").nats, score_split(model, corpus, "val", stride=32).nats


def train_speedrun(seed: int, seconds: float) -> tuple[float, float, float, int]:
    """Its losses, averaged with the counts and alone, the seconds it took and its epochs."""
    preset = speedrun.PRESETS["laptop"]
    config = timed.clocked(preset, preset.cooldown / preset.epochs)
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    start = time.perf_counter()
    counts = Counts(corpus.splits["train"], len(corpus.vocabulary))
    counting = time.perf_counter() - start
    torch.manual_seed(seed)
    model = speedrun.GPT(config, len(corpus.vocabulary))
    optimizers = training.configure_optimizers(model, config)
    (moment,) = timed.train_for(max(0.1, seconds - counting), 1, model, corpus, config, optimizers)
    with training.low_precision(torch.device("cpu")):
        judged = speedrun.Average(model, counts, config.counts), model
        averaged, alone = (score_split(each, corpus, "val").nats for each in judged)
    return averaged, alone, counting + moment.seconds, moment.epochs


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=whole_number(1), default=RECIPE.epochs, metavar="N",
                        help="of the recipe (default: %(default)s; fewer are a try)")  # fmt: skip
    parser.add_argument("--seeds", nargs="+", type=whole_number(0), default=[42, 43, 44], metavar="N",
                        help="(default: 42 43 44)")  # fmt: skip
    parser.add_argument("--threads", type=whole_number(1, os.cpu_count() or 1), default=torch.get_num_threads(),
                        metavar="N", help="(default: %(default)s)")  # fmt: skip
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for seed in options.seeds:
        exits.at(f"with seed {seed}")
        seconds, loss, strided = train_recipe(seed, options.steps)
        print(f"seed {seed}: the recipe {loss:.4f} ({strided:.4f}) in {seconds:.1f} s;", end=" ", flush=True)
        averaged, alone, taken, epochs = train_speedrun(seed, seconds)
        print(f"the speedrun {averaged:.4f}, its GPT alone {alone:.4f}, in {taken:.1f} s ({epochs} epochs)", flush=True)
        rows.append((loss, strided, averaged, alone))
    means = [timed.spread(losses) for losses in zip(*rows, strict=True)]
    print("mean: the recipe {} ({}); the speedrun {}, its GPT alone {}".format(*means))
    print(f"# {options.threads} of {os.cpu_count()} cores, {platform.machine()}, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
