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

import torch

import task07
from common import checkpoint
from common.data import Corpus
from common.evaluate import estimate_loss, score_split
from common.options import DEFAULT_TEXT, Parser
from common.stream import BEST_WEIGHTS, load_model

DOCUMENTED = task07.PRESETS["documented"].eval_batches, task07.PRESETS["documented"].batch_size

CARD = """# The weights in shakespeare.pt

What `python task08_infinite.py` writes with. Made by `{command}` in {seconds} seconds on {machine}
([log](../docs/logs/{log})), then `python -m studies.export`. It holds parameters alone, in bfloat16, and is
read with PyTorch's `weights_only=True`: no code in it runs. Of the recorded seeds it is the one with the lowest
loss over the whole validation split.

| what | value |
|---|---|
| architecture | {script}: {sizes} |
| parameters | {parameters:,} |
| characters seen | {seen:,} of tiny Shakespeare's first 90% ({epochs:,} epochs of {batch_size} × {block_size}) |
| seed | {seed} |
| training seconds | {seconds} |

Loss on the validation text (the last 10%, never trained on), in nats per character; {protocol_note}

| evaluated over | nats | bits | perplexity | accuracy |
|---|---|---|---|---|
| random batches | {drawn:.4f} | | | |
| whole split, blocks side by side | {whole.nats:.4f} | {whole.bits:.4f} | \
{whole.perplexity:.3f} | {whole.accuracy:.4f} |
| whole split, at least half a block of context | {strided.nats:.4f} | {strided.bits:.4f} | \
{strided.perplexity:.3f} | {strided.accuracy:.4f} |
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
    script = type(model).__module__
    config = state["config"]
    corpus = Corpus(DEFAULT_TEXT, config["block_size"])
    torch.manual_seed(0)
    sizes = ", ".join(f"{name} {config[name]}" for name in ("n_embd", "n_head", "n_layer", "block_size", "dropout"))
    card = CARD.format(
        command=f"python {command}", script=script, seed=seed, seconds=seconds, machine=machine, log=options.log.name,
        sizes=sizes, parameters=sum(p.numel() for p in model.parameters()), epochs=state["epoch"],
        batch_size=config["batch_size"], block_size=config["block_size"],
        seen=state["epoch"] * config["batch_size"] * config["block_size"],
        protocol_note="random batches: {} of {}, the documented protocol.".format(*DOCUMENTED),
        drawn=estimate_loss(model, corpus, "val", *DOCUMENTED),
        whole=score_split(model, corpus, "val"),
        strided=score_split(model, corpus, "val", stride=config["block_size"] // 2),
    )  # fmt: skip
    (BEST_WEIGHTS.parent / "README.md").write_text(card, encoding="utf-8")
    print(card, end="")


if __name__ == "__main__":
    main()
