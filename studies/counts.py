"""How well does counting predict? python -m studies.counts

A model counts how often each character followed the n characters before it in the training text, for n from 0 up.
Prints its loss on the validation split, in nats per character, and the seconds that counting takes. The model sees as
much of the validation text as a GPT does: in blocks side by side, the earlier characters of the block.

Contexts that were rare or never met borrow from contexts one token shorter, by modified Kneser-Ney smoothing. For the
shorter contexts it counts after how many different tokens they came, not how often.
Sources: Kneser and Ney 1995, https://doi.org/10.1109/ICASSP.1995.479394; Chen and Goodman 1999,
https://doi.org/10.1006/csla.1999.0128.
"""

import time

from common.data import Corpus
from common.evaluate import score_split
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser, whole_number
from common.run import progress, run

import torch
from torch import nn
from torch.nn import functional as F

LARGEST = 2**27  # numbers in a table, half a GiB


class Counts(nn.Module):
    """Tokens (B, T) → log-probabilities (B, T, V) of the token after each, from the up to n tokens before it.

    Never looks beyond the row that it is given. A context is kept as a number whose digits, in base V, are its
    tokens. n is smaller than asked for where the numbers need more than 64 bits or the table more than LARGEST.
    """

    def __init__(self, tokens, vocab_size, n=7):
        super().__init__()
        self.vocab_size = vocab_size
        tokens = tokens.long()  # for numbers of many digits
        grams, times = self.count(tokens, n)
        while n > 0 and (grams is None or len((grams // vocab_size).unique()) * vocab_size > LARGEST):
            n -= 1
            grams, times = self.count(tokens, n)
        self.tables = [self.table(grams, times)]
        for length in reversed(range(n)):
            grams, times = (grams % vocab_size ** (length + 1)).unique(return_counts=True)
            self.tables.insert(0, self.table(grams, times))

    def count(self, tokens, n):
        """The different n + 1 neighbours of a text as numbers, newest token in the lowest digit, and how often each."""
        if self.vocab_size ** (n + 1) >= 2**63:
            return None, None
        grams = sum(self.vocab_size**i * tokens[n - i : len(tokens) - i] for i in range(n + 1))
        return grams.unique(return_counts=True)

    def table(self, grams, times):
        """Contexts (N), in order; for each the probabilities (N, V) less discounts, and what these leave (N)."""
        met = [int((times == i).sum()) for i in range(5)]  # how many were met once, twice, …
        once = met[1] / max(1, met[1] + 2 * met[2])
        discounts = [max(0.1, i - (i + 1) * once * met[i + 1] / max(1, met[i])) for i in (1, 2, 3)]
        discount = torch.tensor([0.0, *discounts], device=grams.device)[times.clamp(max=3)]
        contexts, row = (grams // self.vocab_size).unique(return_inverse=True)
        total = torch.zeros(len(contexts), device=grams.device).index_add_(0, row, times.float())
        rows = torch.zeros(len(contexts), self.vocab_size, device=grams.device)
        rows[row, grams % self.vocab_size] = (times - discount) / total[row]
        return contexts, rows, (1 - rows.sum(dim=1)).clamp_min(0)

    def forward(self, tokens):
        T = tokens.shape[1]
        p = torch.full((*tokens.shape, self.vocab_size), 1 / self.vocab_size, device=tokens.device)  # (B, T, V)
        context = torch.zeros_like(tokens)  # (B, T)
        for length, (contexts, rows, left) in enumerate(self.tables):
            if length:
                context = context + self.vocab_size ** (length - 1) * F.pad(tokens, (length - 1, 0))[:, :T]
            row = torch.searchsorted(contexts, context).clamp(max=len(contexts) - 1)  # (B, T)
            known = (contexts[row] == context) & (torch.arange(T, device=tokens.device) >= length - 1)
            p = torch.where(known[..., None], rows[row] + left[row][..., None] * p, p)
        return p.log()


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--longest", type=whole_number(0, 9), default=9, metavar="N", help="n up to it (default: 9)")
    parser.add_argument("--tune", action="store_true", help="on the tuning split of the training text")
    options = parser.parse_args()
    progress.where = "while it counted"
    corpus = Corpus(DEFAULT_TEXT, 256)
    if options.tune:
        corpus.tune()
    for n in range(options.longest + 1):
        start = time.perf_counter()
        counts = Counts(corpus.splits["train"], len(corpus.vocabulary), n)
        seconds = time.perf_counter() - start
        score = score_split(counts, corpus, "val")
        print(f"{n} characters before: val {score.nats:.4f}, {seconds:.2f} s to count", flush=True)
    print(f"# windows of 256, {describe()}")


if __name__ == "__main__":
    run(main)
