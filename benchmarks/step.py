"""Where does the time of a training step go? python -m benchmarks.step

Runs some steps of task 9 and of the speedrun's model (the same sizes for both, from the speedrun's presets) under
PyTorch's profiler on one thread. Prints the milliseconds a step, the share of matrix products in them (the model's and
Muon's), and the operations that take most of the rest. Then it prints the products' speed over the whole step, and over
the time of the products only, and compares both with one core's speed for products of large matrices in the same
precision. Models take turns step by step, so that a slow minute of the machine slows all.
"""

import os
from collections import Counter
from collections.abc import Callable

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own lines on stderr

import task09_rope
from common.data import Corpus
from common.machine import describe, gemm_gflops
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.precision import product_dtype
from common.run import progress, run
from record import speedrun
from studies import setup
from studies.report import add_number

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"}
SHOWN = 6
SIZES = "batch_size", "block_size", "n_embd", "n_head", "n_layer", "dropout"


def stepper(module, preset: str, corpus: Corpus, bfloat16: bool) -> Callable:
    """A function that takes one training step of a module's model, in the sizes of a preset of the speedrun."""
    wanted = setup.preset(speedrun, preset)
    config = setup.preset(module, **{name: getattr(wanted, name) for name in SIZES}, first_window=0)
    run = setup.build(module.GPT, config, len(corpus.vocabulary), seed=42, bfloat16=bfloat16)
    return lambda: run.step(corpus, config.max_steps // 2)


def measure(step: Callable) -> Counter:
    """Milliseconds of each operation of one step."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    return Counter({event.key: event.self_cpu_time_total / 1000 for event in profiler.key_averages()})


def main() -> None:
    parser = Parser(description=__doc__)
    add_number(parser, "--steps", 10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    progress.where = "while it measured"
    corpus = Corpus(DEFAULT_TEXT, setup.preset(speedrun).block_size)
    steps = {}
    for preset in speedrun.PRESETS:
        steps[f"{preset}, task 9, float32"] = stepper(task09_rope, preset, corpus, False)
        steps[f"{preset}, task 9"] = stepper(task09_rope, preset, corpus, True)
        steps[f"{preset}, speedrun"] = stepper(speedrun, preset, corpus, True)
    spent: dict[str, Counter] = {name: Counter() for name in steps}
    work: dict[str, float] = {}  # GFLOP a step
    for name, step in steps.items():
        with FlopCounterMode(display=False) as counter:
            step()  # the first is slower, too
        work[name] = counter.get_total_flops() / 1e9
    best = {"float32": gemm_gflops(torch.float32), "bfloat16": gemm_gflops(product_dtype(torch.device("cpu")))}
    for _ in range(options.steps):
        for name, step in steps.items():
            spent[name].update(measure(step))
    for name, operations in spent.items():
        total = operations.total()
        products = sum(operations[operation] for operation in PRODUCTS)
        milliseconds, share = total / options.steps, products / total
        print(f"{name + ':':24} {milliseconds:5.0f} ms a step, {share:.0%} of it in matrix products")
        peak = best["float32" if "float32" in name else "bfloat16"]
        whole, alone = work[name] / milliseconds * 1000, work[name] / (products / options.steps) * 1000
        print(
            f"  {work[name]:.1f} GFLOP: {whole:.0f} GFLOP/s in the step, {whole / peak:.0%} of the core's {peak:.0f}; "
            f"{alone:.0f} in the products, {alone / peak:.0%}"
        )
        rest = [(key, time) for key, time in operations.most_common() if key not in PRODUCTS][:SHOWN]
        print("  then " + ", ".join(f"{key.removeprefix('aten::')} {time / total:.1%}" for key, time in rest))
    print(f"# {options.steps} steps each, one of {describe()}")


if __name__ == "__main__":
    run(main)
