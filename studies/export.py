"""Make the committed weights and their card from a run: python -m studies.export RUN.pt LOG.txt

Writes weights/shakespeare.pt (parameters alone, in bfloat16) and weights/README.md: what the model is,
how it was made (from the log that studies.record wrote) and how well it predicts, evaluated from the
file just written.
"""

from common import exits
from common.exits import UserError, end_cleanly

end_cleanly(__name__)

import argparse
import re
from pathlib import Path

from common import checkpoint
from common.options import Parser
from common.stream import BEST_WEIGHTS, load_model
from studies import evaluate

CARD = """# The weights in shakespeare.pt

What `python task08_infinite.py` writes with. Made by `{command}` in {seconds} seconds on {machine}
([log](../docs/logs/{log})), then `python -m studies.export`. It holds parameters alone, in bfloat16, and is
read with PyTorch's `weights_only=True`: no code in it runs. Of the recorded seeds it is the one with the lowest
averaged loss over the whole validation split.

| what | value |
|---|---|
| architecture | {script}: {sizes} |
| parameters | {parameters:,} |
| characters seen | {seen:,} of tiny Shakespeare's first 90% ({epochs:,} epochs of {batch_size} × {block_size}) |
| seed | {seed} |
| training seconds | {seconds} |

Loss on the validation text (the last 10%, never trained on), in nats per character, by `python -m studies.evaluate`:

{table}
"""


def main():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the checkpoint of a finished run")
    parser.add_argument("log", type=Path, metavar="LOG", help="its log, as studies.record wrote it")
    options = parser.parse_args()
    state = checkpoint.load(options.run)
    made = re.fullmatch(
        r"\$ python (.*? --seed (\d+)) --save \S+\n.*\n# (\d+) s from start to end on (.*)\n",
        options.log.read_text(encoding="utf-8"), re.DOTALL,
    )  # fmt: skip
    if made is None:
        raise UserError(f"{options.log}: not the log of a run with --seed and --save")
    command, seed, seconds, machine = made.groups()

    exits.at("while the weights were evaluated")
    BEST_WEIGHTS.parent.mkdir(exist_ok=True)
    weights = {name: tensor.bfloat16() for name, tensor in state["model"].items()}
    kept = {name: state[name] for name in ("epoch", "config", "vocabulary")}
    checkpoint.save(BEST_WEIGHTS, kept | {"model": weights})
    model, _ = load_model(BEST_WEIGHTS)
    config = state["config"]
    sizes = ", ".join(f"{name} {config[name]}" for name in ("n_embd", "n_head", "n_layer", "block_size", "dropout"))
    card = CARD.format(
        command=f"python {command}", script=type(model).__module__, seed=seed, seconds=seconds, machine=machine,
        log=options.log.name, sizes=sizes, parameters=sum(p.numel() for p in model.parameters()),
        epochs=state["epoch"], batch_size=config["batch_size"], block_size=config["block_size"],
        seen=state["epoch"] * config["batch_size"] * config["block_size"], table=evaluate.table(BEST_WEIGHTS),
    )  # fmt: skip
    (BEST_WEIGHTS.parent / "README.md").write_text(card, encoding="utf-8")
    print(card, end="")


if __name__ == "__main__":
    main()
