"""How long does a step take here, and a whole run? python -m benchmarks.pace TASK NAME=VALUE…

Takes some steps of a preset `laptop`, with fields changed if wanted. `--float32` multiplies in float32, as on a
processor without bfloat16 instructions. With ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
MKL_ENABLE_INSTRUCTIONS=AVX2 in the environment, a newer x86-64 processor is kept to AVX2 and float32, so that it
computes like an older one of the same clock.
"""

import importlib
import statistics

from common import precision
from common.data import Corpus
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import progress, run
from record.tuning import MODULES, changed
from studies import setup
from studies.report import add_number, add_threads

import torch

WARM = 3  # steps that are not counted


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("task", choices=MODULES, help="%(choices)s")
    parser.add_argument("changes", nargs="*", metavar="NAME=VALUE", help="a field of its Config")
    add_number(parser, "--steps", 12)
    parser.add_argument("--float32", action="store_true", help="products in float32")
    add_threads(parser)
    options = parser.parse_intermixed_args()
    torch.set_num_threads(options.threads)
    if options.float32:
        precision.product_dtype = lambda device: torch.float32
    progress.where = "while it measured"
    module = importlib.import_module(MODULES[options.task])
    config = changed(setup.preset(module), options.changes)
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    model = setup.build(module.GPT, config, len(corpus.vocabulary), seed=42)
    last = config.max_steps - 1  # has the whole block in its windows
    times = setup.step_seconds(model, corpus, [last] * (WARM + options.steps))
    each = statistics.median(times[WARM:])
    dtype = str(precision.product_dtype(torch.device("cpu"))).removeprefix("torch.")
    whole = f"{config.max_steps} steps in {each * config.max_steps / 60:.1f} min, products in {dtype}"
    size = f"{setup.parameters(model.model):,} parameters"
    print(f"{options.task}: {each:.3f} s a step (median of {options.steps}), {size}, {whole}")
    print(f"# {options.threads} threads, {describe()}")


if __name__ == "__main__":
    run(main)
