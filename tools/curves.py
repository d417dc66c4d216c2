"""Draw the validation curves from the committed logs: python -m tools.curves

Writes docs/images/validation.png (tasks 1 to 6 over their steps, and the documented numbers) and docs/images/laptop.png
(tasks 7 and 9 and the record over the seconds of their runs, which are shared evenly among the steps).
Needs matplotlib: pip install matplotlib==3.11.2.
"""

import re

from common.run import run
from studies.questions.shared import COLOURS, IMAGES
from studies.report import pyplot
from tools.tables import DOCUMENTED, LOGS, logs

TITLES = {
    "task01": "1  one head",
    "task02": "2  four heads",
    "task03": "3  feed-forward",
    "task04": "4  three blocks",
    "task05": "5  skips and MLP",
    "task06": "6  pre-LN",
}
LINE = re.compile(r"^Epoch (\d+): .* avg val loss ([\d.]+)$", re.MULTILINE)
RUNS = {"task07": "7  dropout and scale", "task09_rope": "9  rotary positions", "speedrun_laptop": "the record"}


def main() -> None:
    draw_steps()
    draw_seconds()


def draw_seconds() -> None:
    figure, axes = pyplot().subplots(figsize=(8, 5), layout="constrained")
    for (name, title), colour in zip(RUNS.items(), COLOURS, strict=False):
        for kind, style, fill in (("", "o-", colour), ("_avx2", "o:", "white")):
            said = f"{title}, AVX2" if kind else title
            for log in logs(f"{name}{kind}_seed*.txt"):
                times, losses = curve(log)
                axes.plot(times, losses, style, color=colour, markersize=4, markerfacecolor=fill, label=said)
                said = "_"  # no entry in the legend for the other seeds
    axes.axhline(1.4868, color="black", linestyle="--", linewidth=1, label="documented, on a GPU")
    axes.set(xlabel="seconds from start to end, two cores", ylim=(1.4, 2.1), xlim=(0, None))
    axes.set(ylabel="validation loss (nats per character)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(IMAGES / "laptop.png", dpi=110)


def curve(log: str) -> tuple[list[float], list[float]]:
    """Seconds and validation losses of a run."""
    seconds, final = (float(re.findall(pattern, log, re.M)[0]) for pattern in (r"^# (\d+) s", r"^Final.*?: (\S+)"))
    lines = [(int(step), float(loss)) for step, loss in LINE.findall(log)]
    times = [seconds * step / (lines[-1][0] + 1) for step, _ in lines[:-1]] + [seconds]
    return times, [loss for _, loss in lines[:-1]] + [final]


def draw_steps() -> None:
    figure, axes = pyplot().subplots(figsize=(8, 5), layout="constrained")
    for (task, title), colour in zip(TITLES.items(), COLOURS, strict=True):
        log = (LOGS / f"{task}.txt").read_text(encoding="utf-8")
        epochs, losses = zip(*((int(epoch), float(loss)) for epoch, loss in LINE.findall(log)), strict=True)
        axes.plot(epochs, losses, color=colour, label=title)
        epochs, _, losses = zip(*DOCUMENTED[task], strict=True)
        axes.plot(epochs, losses, "o", color=colour, markersize=5, markerfacecolor="none")
    axes.plot([], [], "o", color="black", markersize=5, markerfacecolor="none", label="documented")
    axes.set(xlabel="epoch (one batch of 32 × 8 characters)", ylabel="validation loss (nats per character)")
    axes.set(xlim=(0, 5050), ylim=(2.0, 3.15))
    axes.grid(alpha=0.3)
    axes.legend(title="task")
    figure.savefig(IMAGES / "validation.png", dpi=110)


if __name__ == "__main__":
    run(main)
