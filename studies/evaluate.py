"""How well do weights predict? python -m studies.evaluate [WEIGHTS]

The losses of the committed weights, or of any checkpoint of tasks 7 and 9 and the speedrun, on the validation
text in nats per character, as a table: over random batches by the documented protocol, and over the whole
split, for the GPT alone and averaged with the counts (common/counts.py; the share is the speedrun's). Products
are bfloat16 where the processor has instructions for it.
"""

from common import exits
from common.exits import UserError, end_cleanly

end_cleanly(__name__)

import argparse
from pathlib import Path

import torch
from torch import nn

import task07
from common import checkpoint
from common.counts import Counts
from common.data import Corpus
from common.evaluate import estimate_loss, score_split
from common.options import DEFAULT_TEXT, Parser
from common.stream import BEST_WEIGHTS, load_model
from common.training import low_precision
from studies import speedrun

DOCUMENTED = task07.PRESETS["documented"].eval_batches, task07.PRESETS["documented"].batch_size


def rows(model: nn.Module, corpus: Corpus, name: str) -> list[str]:
    """A model's rows of the table."""
    torch.manual_seed(0)
    with low_precision(torch.device("cpu")):
        drawn = estimate_loss(model, corpus, "val", *DOCUMENTED)
        whole = score_split(model, corpus, "val")
        strided = score_split(model, corpus, "val", stride=corpus.block_size // 2)
    return [
        f"| {name} | random batches: {DOCUMENTED[0]} of {DOCUMENTED[1]} | {drawn:.4f} | | | |",
        *(
            f"| {name} | {over} | {score.nats:.4f} | {score.bits:.4f} | {score.perplexity:.3f} | {score.accuracy:.4f} |"
            for over, score in (
                ("whole split, blocks side by side", whole),
                ("whole split, at least half a block of context", strided),
            )
        ),
    ]


def table(path: Path) -> str:
    """The losses that a file of weights reaches, as a Markdown table. Raises UserError where it is of another text."""
    model, vocabulary = load_model(path)
    corpus = Corpus(DEFAULT_TEXT, model.block_size)
    if corpus.vocabulary != vocabulary:
        raise UserError(f"{path}: learnt from another text, of other symbols")
    lines = ["| model | evaluated over | nats | bits | perplexity | accuracy |", "|---|---|---|---|---|---|"]
    lines += rows(model, corpus, "the GPT alone")
    share = checkpoint.load(path)["config"].get("counts", speedrun.PRESETS["best"].counts)
    if share:
        averaged = speedrun.Average(model, Counts(corpus.splits["train"], len(vocabulary)), share)
        lines += rows(averaged, corpus, f"averaged with the counts (share {share:g})")
    return "\n".join(lines)


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?", type=Path, default=BEST_WEIGHTS, metavar="WEIGHTS",
                        help="(default: the committed ones)")  # fmt: skip
    options = parser.parse_args()
    exits.at("while it evaluated")
    print(table(options.weights))


if __name__ == "__main__":
    main()
