"""Draw the validation curves of tasks 1 to 6 from the committed logs: python -m tools.curves

Reads docs/logs/task0*.txt and the documented numbers, writes docs/images/validation.png.
Needs matplotlib: pip install matplotlib==3.11.2.
"""

import json
import re
from pathlib import Path

from common.run import run
from studies.questions.shared import COLOURS
from studies.report import pyplot

ROOT = Path(__file__).resolve().parent.parent
TITLES = {
    "task01": "1  one head",
    "task02": "2  four heads",
    "task03": "3  feed-forward",
    "task04": "4  three blocks",
    "task05": "5  skips and MLP",
    "task06": "6  pre-LN",
}


def main() -> None:
    documented = json.loads((ROOT / "docs" / "logs" / "documented.json").read_text())
    figure, axes = pyplot().subplots(figsize=(8, 5), layout="constrained")
    for (task, title), colour in zip(TITLES.items(), COLOURS, strict=True):
        log = (ROOT / "docs" / "logs" / f"{task}.txt").read_text(encoding="utf-8")
        lines = re.findall(r"^Epoch (\d+): .* avg val loss ([\d.]+)$", log, re.MULTILINE)
        epochs, losses = zip(*((int(epoch), float(loss)) for epoch, loss in lines), strict=True)
        axes.plot(epochs, losses, color=colour, label=title)
        epochs, _, losses = zip(*documented[task], strict=True)
        axes.plot(epochs, losses, "o", color=colour, markersize=5, markerfacecolor="none")
    axes.plot([], [], "o", color="black", markersize=5, markerfacecolor="none", label="documented")
    axes.set(xlabel="epoch (one batch of 32 × 8 characters)", ylabel="validation loss (nats per character)")
    axes.set(xlim=(0, 5050), ylim=(2.0, 3.15))
    axes.grid(alpha=0.3)
    axes.legend(title="task")
    figure.savefig(ROOT / "docs" / "images" / "validation.png", dpi=110)


if __name__ == "__main__":
    run(main)
