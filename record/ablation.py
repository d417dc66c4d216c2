"""What does each idea of the speedrun gain, in equal time? python -m record.ablation

Trains the laptop preset of record.speedrun with all ideas, then without one at a time, and then with some other
changes. Each model trains for the same seconds (evaluations not counted), with a schedule that follows the clock, so
that an idea which costs time must gain more than it costs. Losses are in nats per character of the tuning split, the
last tenth of the training text; the validation text is not used.
"""

import itertools
import statistics

from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from common.run import progress, run
from record import speedrun
from studies import setup
from studies.report import Report, parse_timed, spread, timed_parser

import torch

VARIANTS: dict[str, dict] = {
    "all ideas": {},
    **{f"without {name}": changes for name, changes in speedrun.IDEAS.items()},
    "AdamW, no Muon": {"optimizer": "adamw"},
    "half the learning rate": {"learning_rate": 5e-3},
    "dropout 0.05": {"dropout": 0.05},
    "batches of 8": {"batch_size": 8},
    "batches of 32": {"batch_size": 32},
    "4 blocks": {"n_layer": 4},
    "192 wide": {"n_embd": 192, "n_head": 3},
}

TINY = {"batch_size": 4, "n_embd": 32, "n_head": 2, "n_layer": 1, "first_window": 0, "block_size": 32}


def measure(seed: int, seconds: float, tune: bool, changes: dict) -> tuple[float, setup.Moment]:
    """The loss of the changed preset after that many seconds, of the tuning split or the validation text."""
    preset = setup.preset(speedrun, **{"squared_relu": True} | changes)
    config = setup.by_the_clock(preset, preset.cooldown)
    torch.manual_seed(seed)
    corpus = speedrun.read(DEFAULT_TEXT, config)
    if tune:
        corpus.tune()
    run = setup.build(speedrun.GPT, config, len(corpus.vocabulary), seed)
    (moment,) = setup.train_for(seconds, 1, run, corpus)
    with run.precision:
        return score_split(run.model, corpus, "val").nats, moment


def main() -> None:
    options = parse_timed(timed_parser(__doc__, seconds=25, picture=False))
    report = Report()
    report(
        f"{options.seconds} s of training each; nats per character of the tuning split, mean ± standard deviation "
        f"of seeds {', '.join(map(str, options.seeds))}; difference: to all ideas with the same seed"
    )
    report()
    rows: dict[str, list] = {name: [] for name in VARIANTS}
    for seed, (name, changes) in itertools.product(options.seeds, VARIANTS.items()):
        progress.where = f"at {name} with seed {seed}"
        rows[name].append(measure(seed, options.seconds, True, changes | (TINY if options.quick else {})))
    report(f"{'':22}  {'loss':17}  {'difference':17}")
    everything = [loss for loss, _ in rows["all ideas"]]
    for name, values in rows.items():
        losses, moments = zip(*values, strict=True)
        steps = statistics.mean(moment.steps for moment in moments)
        differences = [loss - of_all for loss, of_all in zip(losses, everything, strict=True)]
        sign = "+" if statistics.mean(differences) >= 0 else ""
        report(f"{name:22}  {spread(losses):17}  {sign + spread(differences):17}  {steps:5.0f} steps")
    report.end("record.ablation", options)


if __name__ == "__main__":
    run(main)
