"""May training sequences overlap? python -m studies.overlap --report

A course asks for sequences that do not overlap, because overlapping ones can lead to overfitting. Here one small model
of words reads the same number of tokens in two ways: in sequences side by side, in a new random order in each pass
(each token is a target once a pass), and in windows at random places, which overlap. It reads few plays many times, so
that overfitting becomes visible. Losses are in nats per token (a word, or what is between words), for the training
plays and for a held-out play, with three seeds.
"""

import task09_rope
from common.evaluate import score_split
from common.parser import Parser
from common.run import progress, run
from studies import setup, words
from studies.report import Report, add_seeds, add_threads, spread

import torch

PLAYS = 4  # to learn from
PASSES = (1, 2, 4, 8)  # through them, after which losses are taken


class Overlapping(words.Sequences):
    """The same text, in windows at random places."""

    def batch(self, split: str, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows that may overlap: tokens and targets (B, T)."""
        tokens = self.splits[split]
        return self.windows(tokens, torch.randint(len(tokens) - self.block_size, (batch_size,)))


def learn(corpus: words.Sequences, seed: int, passes: tuple[int, ...]) -> list[tuple[float, float]]:
    """Train; after each of that many passes the loss of the training text and of the held-out text."""
    config = setup.preset(
        task09_rope, block_size=corpus.block_size, n_embd=96, n_head=3, n_layer=3, dropout=0.0, batch_size=16
    )
    steps = [round(n * len(corpus.splits["train"]) / (config.batch_size * config.block_size)) for n in passes]
    config = setup.replace(config, max_steps=steps[-1], warmup=0.04, cooldown=0.0)
    run = setup.build(task09_rope.GPT, config, len(corpus.vocabulary), seed, tied=True)
    losses = []
    for step in range(steps[-1]):
        progress.where = f"at step {step} of {steps[-1]}, seed {seed}"
        run.step(corpus, step)
        if step + 1 in steps:
            with run.precision:
                at_once = words.SCORES_AT_ONCE
                train, val = (score_split(run.model, corpus, split, at_once=at_once) for split in ("train", "val"))
            losses.append((train.nats, val.nats))
    return losses


def main() -> None:
    parser = Parser(description=__doc__)
    add_seeds(parser, 42, 43, 44)
    add_threads(parser, 1)
    parser.add_argument("--quick", action="store_true", help="one play, one pass, one seed: a test, not a result")
    parser.add_argument("--report", action="store_true", help="write docs/logs/overlap.txt too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    report = Report()
    plays = words.read_plays()
    held_out = "\n\n".join(plays[name] for name in words.TUNING[:1] if name in plays)
    names = [name for name in plays if name not in {*words.HELD_OUT, *words.TUNING}]
    count, passes, seeds = (1, (1,), [42]) if options.quick else (PLAYS, PASSES, options.seeds)
    report(f"learnt from: {', '.join(names[:count])}; held out: {words.TUNING[0]}")
    report()
    report(f"| sequences | | {' | '.join(f'passes: {n}' for n in passes)} |")
    report(f"|---|---|{'---|' * len(passes)}")
    for kind, sequences in (("side by side", words.Sequences), ("overlapping", Overlapping)):
        corpus = sequences([plays[name] for name in names[:count]], held_out, words.cut_words, words.CUTOFF, 64)
        runs = []
        for seed in seeds:
            torch.manual_seed(seed)
            corpus.begin()
            runs.append(learn(corpus, seed, passes))
        for index, split in enumerate(("training", "held out")):
            cells = [spread([losses[point][index] for losses in runs], 3) for point in range(len(passes))]
            report(f"| {kind} | {split} | {' | '.join(cells)} |")
    report.end("studies.overlap", options)


if __name__ == "__main__":
    run(main)
