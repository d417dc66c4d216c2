"""How well do weights predict? python -m tools.evaluate [WEIGHTS]

The losses on the validation text, in nats per character, of task 8's weights, or of any checkpoint or safetensors file
of task 7, task 9 and the speedrun, as a table: over random batches by the documented protocol, and over the whole
split. Products are in bfloat16 where the processor has instructions for it. Takes minutes. For averages of models:
record/mixture.py.
"""

from pathlib import Path

import task07
from common.data import Corpus
from common.evaluate import estimate_loss, score_split
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.precision import low_precision
from common.run import UserError, progress, run
from common.stream import WEIGHTS
from studies.setup import load_any

import torch

DOCUMENTED = task07.Config().eval_batches, task07.Config().batch_size


def table(path: Path) -> str:
    """The losses that a file of weights reaches, as a Markdown table. Raises UserError where it is of another text."""
    model, config, vocabulary, _ = load_any(path)
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    if corpus.vocabulary != vocabulary:
        raise UserError(f"{path}: learnt from another text, of other symbols")
    lines = ["| model | evaluated over | nats | bits | perplexity | accuracy |", "|---|---|---|---|---|---|"]
    torch.manual_seed(0)
    with low_precision(torch.device("cpu")):
        drawn = estimate_loss(model, corpus, "val", *DOCUMENTED)
        lines.append(f"| the GPT alone | random batches: {DOCUMENTED[0]} of {DOCUMENTED[1]} | {drawn:.4f} | | | |")
        half = config.block_size // 2
        for over, stride in (("blocks side by side", 0), ("at least half a block of context", half)):
            score = score_split(model, corpus, "val", stride=stride)
            numbers = f"{score.nats:.4f} | {score.bits:.4f} | {score.perplexity:.3f} | {score.accuracy:.4f}"
            lines.append(f"| the GPT alone | whole split, {over} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("weights", nargs="?", type=Path, default=WEIGHTS, help="(default: the committed ones)")
    options = parser.parse_args()
    progress.where = "while it evaluated"
    print(table(options.weights))


if __name__ == "__main__":
    run(main)
