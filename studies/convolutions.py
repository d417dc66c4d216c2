"""What do short convolutions add to a GPT? python -m studies.convolutions --report

Attention must learn to look at the character before. A short causal convolution can do that without learning where to
look: each channel adds learnt shares of its values at the last three positions; the shares begin at zero. Trains task
9's GPT without convolutions, with one on the embeddings, and with one there and one on the normalized input of every
branch, for the same number of steps and with three seeds. Losses are of the tuning split: the last tenth of the
training text, which the models do not train on. Sources: Canon layers, https://arxiv.org/abs/2512.17351; Primer,
https://arxiv.org/abs/2109.08668.
"""

import statistics
import time

import task09_rope
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.parser import Parser, whole_number
from common.run import progress, run
from studies import setup
from studies.report import Report, add_threads, spread

import torch
from torch import nn
from torch.nn import functional as F

BACK = 3  # positions


class ShortConvolution(nn.Module):
    """(B, T, C) → (B, T, C): each channel plus shares of its last positions; at first it changes nothing."""

    def __init__(self, n_embd: int):
        super().__init__()
        self.kernel = nn.ParameterList(torch.zeros(n_embd) for _ in range(BACK))  # vectors: no decay, no Muon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """At position t only what is at t and before."""
        earlier = (F.pad(x, (0, 0, back, 0))[:, : x.shape[1]] for back in range(1, BACK + 1))  # (B, T, C) each
        return x + sum(share * shifted for share, shifted in zip(self.kernel, earlier, strict=True))


class OnEmbeddings(task09_rope.GPT):
    """Task 9's GPT, with a convolution on the embeddings."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        self.token_embedding = nn.Sequential(self.token_embedding, ShortConvolution(config.n_embd))


class Everywhere(OnEmbeddings):
    """And one between each norm and its branch."""

    def __init__(self, config, vocab_size):
        super().__init__(config, vocab_size)
        for block in self.blocks:
            block.attention_norm = nn.Sequential(block.attention_norm, ShortConvolution(config.n_embd))
            block.feed_forward_norm = nn.Sequential(block.feed_forward_norm, ShortConvolution(config.n_embd))


VARIANTS = {
    "task 9": task09_rope.GPT,
    "one on the embeddings": OnEmbeddings,
    "there and in the blocks": Everywhere,
}


def learn(model_class, corpus: Corpus, steps: int, seed: int, sizes: dict) -> tuple[float, float]:
    """Train; the tuning loss, nats per character, and the seconds of training."""
    config = setup.preset(task09_rope, block_size=corpus.block_size, max_steps=steps, **sizes)
    run = setup.build(model_class, config, len(corpus.vocabulary), seed)
    start = time.process_time()
    for step in range(steps):
        progress.where = f"at step {step} of {steps}, seed {seed}"
        run.step(corpus, step)
    seconds = time.process_time() - start
    with run.precision:
        return score_split(run.model, corpus, "val").nats, seconds


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--steps", type=whole_number(1), default=300, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--seeds", nargs="+", type=whole_number(0), default=[1, 2, 3], metavar="N")
    add_threads(parser, 1)
    parser.add_argument("--quick", action="store_true", help="tiny models, three steps: a test, not a result")
    parser.add_argument("--report", action="store_true", help="write docs/logs/convolutions.txt too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start, report = time.perf_counter(), Report()
    sizes = {"n_embd": 128, "n_head": 2, "n_layer": 3, "dropout": 0.0}
    steps = options.steps
    if options.quick:
        sizes, steps = sizes | {"n_embd": 16, "n_layer": 1, "batch_size": 2}, 3
    corpus = Corpus(DEFAULT_TEXT, 32 if options.quick else setup.preset(task09_rope).block_size)
    corpus.tune()
    results: dict[str, list] = {name: [] for name in VARIANTS}
    for seed in options.seeds:  # in turn, so that what else the machine does meets all alike
        for name, model_class in VARIANTS.items():
            results[name].append(learn(model_class, corpus, steps, seed, sizes))
    base = [loss for loss, _ in results["task 9"]]
    report(f"| short convolutions, {steps} steps | tuning loss | difference | processor seconds |")
    report("|---|---|---|---|")
    for name, runs in results.items():
        losses, seconds = zip(*runs, strict=True)
        change = "" if name == "task 9" else spread([one - two for one, two in zip(losses, base, strict=True)])
        report(f"| {name} | {spread(losses)} | {change} | {statistics.mean(seconds):.0f} |")
    report.machine(options.threads, start)
    if options.report:
        report.save("studies.convolutions", "convolutions")


if __name__ == "__main__":
    run(main)
