"""What does each idea of the speedrun gain, in equal time? python -m studies.ablation

Trains the laptop preset of studies.speedrun as it is, without each of its ideas in turn, and with some that
it does without; each for the same seconds (evaluations not counted), with a schedule that follows the
clock, so that an idea which costs time has to earn it. Judged are the average with the counts and the GPT
alone. Losses are in nats per character of the tuning split, the last tenth of the training text; the
validation text is not looked at.
"""

import itertools
import statistics
import time

from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.run import progress, run
from studies import setup, speedrun
from studies.counts import Counts
from studies.report import Report, parse_timed, spread, timed_parser

IDEAS = {name: changes for name, changes in speedrun.IDEAS.items() if name != "counts"}  # that is a column
VARIANTS: dict[str, dict] = {
    "all ideas": {},
    **{f"without {name}": changes for name, changes in IDEAS.items()},
    "AdamW, no Muon": {"optimizer": "adamw"},
    "dropout 0.05": {"dropout": 0.05},
    "batches of 8": {"batch_size": 8},
    "batches of 32": {"batch_size": 32},
    "2 blocks": {"n_layer": 2},
    "192 wide": {"n_embd": 192, "n_head": 3},
}


def measure(changes: dict, corpus: Corpus, counts: Counts, seed: int, seconds: int, quick: bool) -> tuple:
    """The tuning loss with the counts and of the GPT alone after so many seconds, and how many steps they were."""
    tiny = {"batch_size": 4, "n_embd": 32, "n_head": 2, "n_layer": 1, "first_window": 0} if quick else {}
    block = {"block_size": corpus.block_size}
    config = setup.by_the_clock(setup.preset(speedrun, **block | changes | tiny))
    run = setup.build(speedrun.GPT, config, len(corpus.vocabulary), seed)
    (moment,) = setup.train_for(seconds, 1, run, corpus)
    with run.precision:
        judged = speedrun.Average(run.model, counts, config.counts), run.model
        return *(score_split(each, corpus, "val").nats for each in judged), moment.steps


def main() -> None:
    options = parse_timed(timed_parser(__doc__, seconds=25, tune=False, picture=False))
    start = time.perf_counter()
    report = Report()
    block_size = setup.preset(speedrun).block_size
    corpus = Corpus(DEFAULT_TEXT, min(32, block_size) if options.quick else block_size)
    corpus.tune()
    report(
        f"{options.seconds} s of training each; nats per character of the tuning split, mean ± standard deviation "
        f"of seeds {', '.join(map(str, options.seeds))}; difference: to all ideas with the same seed"
    )
    report()
    counts = Counts(corpus.splits["train"], len(corpus.vocabulary))
    rows: dict[str, list] = {name: [] for name in VARIANTS}
    for seed, (name, changes) in itertools.product(options.seeds, VARIANTS.items()):
        progress.where = f"at {name} with seed {seed}"
        rows[name].append(measure(changes, corpus, counts, seed, options.seconds, options.quick))
    report(f"{'':22}  {'with the counts':17}  {'difference':17}  {'GPT alone':17}  {'difference':17}")
    everything = list(zip(*rows["all ideas"], strict=True))
    for name, values in rows.items():
        *losses, steps = zip(*values, strict=True)
        cells = []
        for column, base in zip(losses, everything, strict=False):
            differences = [loss - of_all for loss, of_all in zip(column, base, strict=True)]
            sign = "+" if statistics.mean(differences) >= 0 else ""
            cells += [f"{spread(column):17}", f"{sign + spread(differences):17}"]
        report(f"{name:22}  {'  '.join(cells)}  {statistics.mean(steps):5.0f} steps")
    report(f"{'the counts alone':22}  {score_split(counts, corpus, 'val').nats:.4f}")
    report.machine(options.threads, start)
    if options.report:
        report.save("ablation", "ablation")


if __name__ == "__main__":
    run(main)
