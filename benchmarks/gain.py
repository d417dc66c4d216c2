"""What the laptop preset gains over the documented recipe on this machine: python -m benchmarks.gain [speedrun_laptop]

Measures a few steps of the documented preset in plain float32. From these it estimates how long this machine would need
to reach step 4,000, where the documented log first prints its best validation loss, 1.4868 (evaluations not counted).
It compares that with the recorded runs of task 7's laptop preset, or the speedrun's, whose seconds include everything.
"""

import re
import statistics

import task07
from common.data import Corpus
from common.machine import describe
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import UserError, progress, run
from studies import setup
from studies.report import DOCS, RECORD, add_number, add_threads

import torch

LOGS = {"task07": DOCS / "logs", "speedrun_laptop": RECORD / "logs"}
BEST_STEP = 4000


def seconds_a_step(steps: int) -> float:
    """The quickest of some steps of the documented preset, in float32."""
    config = setup.preset(task07, "documented")
    corpus = Corpus(DEFAULT_TEXT, config.block_size)
    run = setup.build(task07.GPT, config, len(corpus.vocabulary), seed=42, bfloat16=False)
    return min(setup.step_seconds(run, corpus, range(steps)))


def main() -> None:
    parser = Parser(description=__doc__)
    add_number(parser, "--steps", 4)
    said = "%(choices)s (default: %(default)s)"
    parser.add_argument("runs", nargs="?", default="task07", choices=LOGS, metavar="RUNS", help=said)
    add_threads(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    logs = sorted(LOGS[options.runs].glob(f"{options.runs}_seed*.txt"))
    if not logs:
        raise UserError(f"{LOGS[options.runs]}: no run to compare with; python -m tools.record makes them")
    progress.where = "while it measured"
    step = seconds_a_step(options.steps)
    documented = BEST_STEP * step
    until = f"{documented / 3600:.1f} hours to step {BEST_STEP} (extrapolated)"
    print(f"documented preset, float32: {step:.2f} s a step (quickest of {options.steps}), so {until}")
    ratios = []
    for log in logs:
        text = log.read_text(encoding="utf-8")
        seconds = int(re.findall(r"^# (\d+) s", text, re.MULTILINE)[0])
        loss = re.findall(r"^Final val loss: ([\d.]+)", text, re.MULTILINE)[0]
        ratios.append(documented / seconds)
        print(f"{log.stem}: {seconds} s to {loss} on the whole split, {ratios[-1]:.0f} times as fast")
    print(f"mean: {statistics.mean(ratios):.0f} times as fast")
    print(f"# {options.threads} of {describe()}")


if __name__ == "__main__":
    run(main)
