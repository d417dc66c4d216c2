"""How well does counting predict? python -m studies.counts

A model without a single trained weight: how often each character followed the up to n characters before it,
in the training text. Prints the loss over the whole validation split for each n, and the seconds it took to
count. Losses are in nats per character.

The model is common/counts.py, with the smoothing of Kneser and Ney, as Chen and Goodman modified it.
"""

from common import exits
from common.exits import end_cleanly

end_cleanly(__name__)

import argparse
import os
import platform
import time

import torch

from common.counts import Counts
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT, Parser, whole_number


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest", type=whole_number(1, 9), default=9, metavar="N", help="n up to it (default: 9)")
    parser.add_argument("--tune", action="store_true", help="on the tuning split of the training text")
    options = parser.parse_args()
    exits.at("while it counted")
    corpus = Corpus(DEFAULT_TEXT, 256)
    if options.tune:
        corpus.tune()
    for n in range(options.longest + 1):
        start = time.perf_counter()
        counts = Counts(corpus.splits["train"], len(corpus.vocabulary), n)
        seconds = time.perf_counter() - start
        score = score_split(counts, corpus, "val")
        print(f"{n} characters before: val {score.nats:.4f}, {seconds:.2f} s to count", flush=True)
    print(f"# windows of 256, {os.cpu_count()} cores, {platform.machine()}, PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
