"""Where does the time of a training step go? python -m studies.step

Runs some steps of task 9 and of the speedrun's model (the same sizes for both, those of the speedrun's presets)
under PyTorch's profiler on one thread, and prints the milliseconds a step, the share of it that matrix
products take, those of the model and those of Muon, and the operations that take most of the rest. Steps are
taken in turn, so that a slow minute of the machine meets all.
"""

from common import exits
from common.exits import end_cleanly

end_cleanly(__name__)

import argparse
import dataclasses
import os
import platform
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

import task09_rope
from common import training
from common.data import Corpus
from common.options import DEFAULT_TEXT, Parser, whole_number
from studies import speedrun

PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"}
SHOWN = 6
SIZES = "batch_size", "block_size", "n_embd", "n_head", "n_layer", "dropout"


def stepper(module, preset: str, corpus: Corpus, precision):
    """A function that takes one training step of a module's model, in the sizes of a preset of the speedrun."""
    sizes = {name: getattr(speedrun.PRESETS[preset], name) for name in SIZES}
    config = dataclasses.replace(module.PRESETS["laptop"], first_window=0, **sizes)
    torch.manual_seed(42)
    model = module.GPT(config, len(corpus.vocabulary))
    training.initialize(model, config)
    optimizers = training.configure_optimizers(model, config)
    model.train()
    return lambda: training.update(model, corpus, config, optimizers, config.epochs // 2, precision)


def measure(step) -> Counter:
    """Milliseconds of each operation of one step."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    return Counter({event.key: event.self_cpu_time_total / 1000 for event in profiler.key_averages()})


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=whole_number(1), default=10, metavar="N", help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    exits.at("while it measured")
    cpu = torch.device("cpu")
    corpus = Corpus(DEFAULT_TEXT, speedrun.PRESETS["laptop"].block_size)
    full, low = torch.autocast("cpu", enabled=False), training.low_precision(cpu)
    steps = {}
    for preset in speedrun.PRESETS:
        steps[f"{preset}, task 9, float32"] = stepper(task09_rope, preset, corpus, full)
        steps[f"{preset}, task 9"] = stepper(task09_rope, preset, corpus, low)
        steps[f"{preset}, speedrun"] = stepper(speedrun, preset, corpus, low)
    spent = {name: Counter() for name in steps}
    for step in steps.values():
        step()  # the first is slower
    for _ in range(options.steps):
        for name, step in steps.items():
            spent[name].update(measure(step))
    for name, operations in spent.items():
        total = operations.total()
        products = sum(operations[operation] for operation in PRODUCTS)
        milliseconds, share = total / options.steps, products / total
        print(f"{name + ':':24} {milliseconds:5.0f} ms a step, {share:.0%} of it in matrix products")
        rest = [(key, time) for key, time in operations.most_common() if key not in PRODUCTS][:SHOWN]
        print("  then " + ", ".join(f"{key.removeprefix('aten::')} {time / total:.1%}" for key, time in rest))
    machine = f"1 of {os.cpu_count()} cores, {platform.machine()}, PyTorch {torch.__version__}"
    print(f"# {options.steps} steps each, {machine}")


if __name__ == "__main__":
    main()
