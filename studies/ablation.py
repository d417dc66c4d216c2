"""What does each idea of the speedrun gain, in equal time? python -m studies.ablation

Trains the laptop preset of studies.speedrun as it is, without each of its ideas in turn, and with some that
it does without; each for the same seconds (evaluations not counted), with a schedule that follows the
clock, so that an idea which costs time has to earn it. Losses are in nats per character of the tuning
split, the last tenth of the training text; the validation text is not looked at.
"""

from common import exits
from common.exits import end_cleanly

end_cleanly(__name__)

import itertools
import statistics
import time
from dataclasses import replace

import torch

from common import training
from common.data import Corpus
from common.evaluate import score_split
from common.options import DEFAULT_TEXT
from studies import speedrun, timed

VARIANTS = {
    "all ideas": {},
    **{f"without {idea}": {idea: False} for idea in speedrun.IDEAS},
    "AdamW, no Muon": {"optimizer": "adamw"},
    "dropout 0.05": {"dropout": 0.05},
    "batches of 8": {"batch_size": 8},
    "batches of 32": {"batch_size": 32},
    "3 blocks": {"n_layer": 3},
    "6 blocks": {"n_layer": 6},
}


def measure(changes: dict, corpus: Corpus, seed: int, seconds: int, quick: bool) -> tuple[float, int]:
    """The tuning loss after so many seconds, and how many epochs they were."""
    tiny = {"batch_size": 4, "n_embd": 32, "n_layer": 1} if quick else {}
    preset = speedrun.PRESETS["laptop"]
    config = timed.clocked(replace(preset, **changes | tiny), preset.cooldown / preset.epochs)
    torch.manual_seed(seed)
    model = speedrun.GPT(config, len(corpus.vocabulary))
    optimizers = training.configure_optimizers(model, config)
    (moment,) = timed.train_for(seconds, 1, model, corpus, config, optimizers)
    with training.low_precision(torch.device("cpu")):
        return score_split(model, corpus, "val").nats, moment.epochs


def main():
    options = timed.parse_options(timed.parser(__doc__, seconds=60, tune=False))
    start = time.perf_counter()
    report = timed.Report()
    corpus = Corpus(DEFAULT_TEXT, 32 if options.quick else speedrun.PRESETS["laptop"].block_size)
    corpus.tune()
    report(f"{options.seconds} s of training each; nats per character of the tuning split, mean ± standard deviation "
           f"of seeds {', '.join(map(str, options.seeds))}; difference: to all ideas with the same seed")  # fmt: skip
    report()
    losses = {name: [] for name in VARIANTS}
    epochs = {name: [] for name in VARIANTS}
    for seed, (name, changes) in itertools.product(options.seeds, VARIANTS.items()):
        exits.at(f"at {name} with seed {seed}")
        loss, done = measure(changes, corpus, seed, options.seconds, options.quick)
        losses[name].append(loss)
        epochs[name].append(done)
    for name, values in losses.items():
        differences = [value - base for value, base in zip(values, losses["all ideas"], strict=True)]
        report(f"{name:22}  {timed.spread(values):17}  {'+' if statistics.mean(differences) >= 0 else ''}"
               f"{timed.spread(differences):17}  {statistics.mean(epochs[name]):5.0f} epochs")  # fmt: skip
    report.machine(options.threads, start)
    if options.report:
        report.save("ablation", "ablation")


if __name__ == "__main__":
    main()
