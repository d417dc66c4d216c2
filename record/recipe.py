"""How far does the speedrun come in the time of the usual laptop recipe? python -m record.recipe

The recipe: 4 blocks, 128 wide, 4 heads, windows of 64, batches of 12, 2,000 steps of AdamW in float32, no dropout
(sizes, batches and steps that nanoGPT's README proposes for a laptop). The recipe trains first. Then the speedrun's
laptop preset trains for the same time, with a schedule that follows the clock. Evaluations are not counted for either.
Losses are in nats per character of the whole validation split. Blocks are side by side, of 256 for the speedrun and of
64 for the recipe, which cannot read longer ones. The recipe is also evaluated with at least 32 characters of context.
"""

import dataclasses
from typing import Any

import task07
from common.data import Corpus
from common.evaluate import score_split
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import progress, run
from record.ablation import measure
from studies import setup
from studies.report import add_number, add_seeds, add_threads, spread

import torch

SIZES: dict[str, Any] = {"batch_size": 12, "block_size": 64, "n_embd": 128, "n_head": 4, "n_layer": 4, "dropout": 0.0}
SCHEDULE: dict[str, Any] = {"max_steps": 2000, "learning_rate": 1e-3, "warmup": 0.05, "cooldown": 0.95}
RECIPE = task07.Config(**SIZES, **SCHEDULE, init_std=0.02, weight_decay=0.1, grad_clip=1.0)


def train_recipe(seed: int, steps: int) -> tuple[float, float, float]:
    """Its seconds of training and its losses, without and with a stride."""
    config = dataclasses.replace(RECIPE, max_steps=steps)
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    run = setup.build(task07.GPT, config, len(corpus.vocabulary), seed, bfloat16=False)
    for block in run.model.blocks:
        block.attention.scale = (config.n_embd // config.n_head) ** -0.5  # as the paper
    seconds = sum(setup.step_seconds(run, corpus, range(steps)))
    return seconds, score_split(run.model, corpus, "val").nats, score_split(run.model, corpus, "val", stride=32).nats


def main() -> None:
    parser = Parser(description=__doc__)
    add_number(parser, "--steps", RECIPE.max_steps, "of the recipe; fewer are a test")
    add_seeds(parser, 42, 43, 44)
    add_threads(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = []
    for seed in options.seeds:
        progress.where = f"with seed {seed}"
        seconds, loss, strided = train_recipe(seed, options.steps)
        print(f"seed {seed}: the recipe {loss:.4f} ({strided:.4f}) in {seconds:.1f} s;", end=" ", flush=True)
        ours, moment = measure(seed, seconds, False, {})
        print(f"the speedrun {ours:.4f} in {moment.seconds:.1f} s ({moment.steps} steps)", flush=True)
        rows.append((loss, strided, ours))
    means = [spread(losses) for losses in zip(*rows, strict=True)]
    print("mean: the recipe {} ({}); the speedrun {}".format(*means))
    print(f"# {options.threads} of {describe()}")


if __name__ == "__main__":
    run(main)
