"""How low do several models get together? python -m record.mixture runs/speedrun_hour_seed*.pt

The average of the probabilities of some GPTs (checkpoints of record.speedrun, trained with `--save`) and of a model
that only counts (studies/counts.py). Prints its loss on the validation text, and that of each part. Every part sees
only the earlier characters in its own window. A checkpoint that was trained on another text is refused.

The counts' share was chosen on the tuning split (logs/mixture_tuning.txt): `--tune`, with a checkpoint of
`python -m record.speedrun --tune`.
Sources: mixtures of neural and n-gram models, https://doi.org/10.1109/ASRU.2011.6163930; ensembles of networks,
https://arxiv.org/abs/1612.01474.
"""

import math
from pathlib import Path

from common import parser
from common.data import Corpus, Tokens
from common.evaluate import estimate_loss, score_split
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.precision import low_precision
from common.run import UserError, progress, run
from studies import setup
from studies.counts import Counts
from studies.report import add_threads

import torch
from torch import nn
from torch.nn import functional as F

SHARE = 0.2  # of the counts
TRIED = [0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4]
SEED = 0  # of the random batches
BATCHES = 200, 64  # the documented protocol


class Mixture(nn.Module):
    """Models' probabilities, averaged by their shares, which sum to 1: tokens (B, T) → their logarithm (B, T, V).

    A model may give logits or log-probabilities. Raises ValueError for other shares.
    """

    def __init__(self, models: list[nn.Module], shares: list[float]):
        super().__init__()
        if len(models) != len(shares) or min(shares) < 0 or not math.isclose(sum(shares), 1):
            raise ValueError(f"expected {len(models)} shares from 0 that sum to 1, got {shares}")
        self.models, self.shares = nn.ModuleList(models), shares

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        parts = (F.log_softmax(model(tokens).float(), dim=-1) for model in self.models)  # (B, T, V) each
        return torch.logsumexp(torch.stack([part + log(p) for part, p in zip(parts, self.shares, strict=True)]), dim=0)


def log(share: float) -> float:
    """A share of 0 takes a model out."""
    return math.log(share) if share else -math.inf


def together(models: list[nn.Module], counts: Counts, share: float) -> Mixture:
    """GPTs in equal parts, and the counts with a share of their own."""
    return Mixture([*models, counts], [(1 - share) / len(models)] * len(models) + [share])


def members(paths: list[Path], tune: bool) -> tuple[list[nn.Module], Corpus]:
    """The GPTs of some checkpoints, and the text that all were trained on. Raises UserError where it is another one."""
    loaded = [setup.load_any(path) for path in paths]
    corpus = Corpus(DEFAULT_TEXT, loaded[0][1].block_size)
    if tune:
        corpus.tune()
    for path, (_, config, _, state) in zip(paths, loaded, strict=True):
        if state.get("text") != corpus.text_hash:
            raise UserError(f"{path}: trained on another text, or another part of it")
        if config.block_size != corpus.block_size:
            raise UserError(f"{path}: has windows of {config.block_size}, but the first file's are {corpus.block_size}")
    return [model for model, *_ in loaded], corpus


def losses(model: nn.Module, corpus: Tokens) -> tuple[float, float]:
    """Of the whole validation split, and of random batches by the documented protocol; nats per character."""
    torch.manual_seed(SEED)
    return score_split(model, corpus, "val").nats, estimate_loss(model, corpus, "val", *BATCHES)


def main() -> None:
    flags = parser.Parser(description=__doc__)
    flags.add_argument("checkpoints", nargs="+", type=parser.path, metavar="CHECKPOINT")
    said = "the counts' share (default: %(default)s)"
    flags.add_argument("--counts", type=parser.number(0, 1), default=SHARE, metavar="P", help=said)
    flags.add_argument("--tune", action="store_true", help="the tuning loss with several shares of the counts")
    add_threads(flags)
    options = flags.parse_args()
    torch.set_num_threads(options.threads)
    progress.where = "while it evaluated"
    models, corpus = members(options.checkpoints, options.tune)
    counts = Counts(corpus.splits["train"], len(corpus.vocabulary))
    with low_precision(torch.device("cpu")):
        if options.tune:
            for share in TRIED:
                loss = score_split(together(models, counts, share), corpus, "val").nats
                print(f"share of the counts {share:4.2f}: tuning loss {loss:.4f}", flush=True)
            return
        rows = {path.name: model for path, model in zip(options.checkpoints, models, strict=True)}
        rows["the counts"] = counts
        if len(models) > 1:
            rows[f"the {len(models)} GPTs"] = together(models, counts, 0.0)
        rows[f"with the counts, share {options.counts:g}"] = together(models, counts, options.counts)
        print("| model | whole split | random batches |\n|---|---|---|")
        for name, model in rows.items():
            whole, drawn = losses(model, corpus)
            print(f"| {name} | {whole:.4f} | {drawn:.4f} |", flush=True)
    print(f"# {options.threads} of {describe()}")


if __name__ == "__main__":
    run(main)
