"""A model that counts: how often each token followed the tokens before it.

What was met rarely, or never, borrows from contexts one token shorter, by modified Kneser-Ney smoothing
(Kneser and Ney 1995, doi 10.1109/ICASSP.1995.479394; Chen and Goodman 1999, doi 10.1006/csla.1999.0128), which
counts, for the shorter contexts, not how often but after how many different tokens they were met: "Francisco" is
frequent, but only after "San".
"""

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


class Guesses:
    """What may come next, by a look into a table: the counts' opinion after each `n` tokens that a text holds."""

    def __init__(self, tokens, vocab_size, n=4):
        tables = Counts(tokens, vocab_size, n).tables
        self.vocab_size, self.n = vocab_size, len(tables) - 1
        contexts = tables[-1][0]  # (N)
        p = torch.full((len(contexts), vocab_size), 1 / vocab_size)  # (N, V)
        for length, (shorter, rows, left) in enumerate(tables):
            row = torch.searchsorted(shorter, contexts % vocab_size**length)  # (N)
            p = rows[row] + left[row, None] * p
        self.logits = p.log()
        self.row = {context: row for row, context in enumerate(contexts.tolist())}

    def __call__(self, tokens):
        """Logits (V) of the token after a list of them; None where its last n are unknown."""
        context = 0
        for token in tokens[-self.n :]:
            context = context * self.vocab_size + token
        row = self.row.get(context) if len(tokens) >= self.n else None
        return None if row is None else self.logits[row]
