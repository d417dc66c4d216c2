"""A run as a safetensors file: python -m tools.export RUN.pt

Writes RUN.safetensors, for the page (python -m page), tools.evaluate and other programs; names, shapes, configuration
and vocabulary are the run's. `--half` takes half the bytes (float16). With its log, RUN.pt LOG.txt, makes the committed
weights and their card instead: weights/shakespeare.pt (only parameters, in bfloat16) and weights/README.md: what the
model is, how it was made (from the log that tools.record wrote) and how well it predicts, evaluated from the file just
written.
"""

import re
from pathlib import Path

from common.checkpoint import load, save
from common.parser import Parser
from common.run import UserError, progress, run
from common.safetensors import as_safetensors
from common.stream import WEIGHTS
from studies.setup import load_any, parameters
from tools.evaluate import table

import torch

SIZES = ("n_embd", "n_head", "n_layer", "block_size", "dropout")
CARD = """# The weights in shakespeare.pt

`python task08_infinite.py` writes with these weights. Their model is the GPT of [{script}.py](../{script}.py).

| what | value |
|---|---|
| made by | `python {command} --save RUN` ([log](../docs/logs/{log})), then `python -m tools.export RUN LOG` |
| sizes | {sizes} |
| parameters | {parameters:,}, stored in bfloat16 |
| text | the first 90% of tiny Shakespeare, {seen:,} characters in {steps:,} steps of {batch_size} × {block_size} |
| time | {seconds} seconds, with the threads of the command, on {machine} |

The file is read with PyTorch's `weights_only=True`, so it cannot run code.

Loss on the validation text (the last 10%, never trained on), in nats per character, by `python -m tools.evaluate`:

{table}
"""


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="the checkpoint of a finished run")
    parser.add_argument("log", nargs="?", type=Path, metavar="LOG", help="its log, as tools.record wrote it")
    parser.add_argument("--half", action="store_true", help="numbers of 16 bits in the safetensors file, not 32")
    options = parser.parse_args()
    state = load(options.run)
    if options.log is None:
        place = options.run.with_suffix(".safetensors")
        place.write_bytes(as_safetensors(state, torch.float16 if options.half else torch.float32))
        print(f"{place}: written")
        return
    log = options.log.read_text(encoding="utf-8")
    pattern = r"\$ python (.*?) --save \S+\n.*\n# (\d+) s from start to end on (.*?)\n.*"
    made = re.fullmatch(pattern, log, re.DOTALL)
    if made is None:
        raise UserError(f"{options.log}: not the log of a run with --save")
    command, seconds, machine = made.groups()

    progress.where = "while the weights were evaluated"
    WEIGHTS.parent.mkdir(exist_ok=True)
    weights = {name: tensor.bfloat16() for name, tensor in state["model"].items()}
    kept = {name: state[name] for name in ("model_name", "step", "config", "vocabulary")}
    save(WEIGHTS, kept | {"model": weights})
    config = state["config"]
    card = CARD.format(
        **config,
        command=command,
        script=state["model_name"],
        seconds=seconds,
        machine=machine,
        log=options.log.name,
        sizes=", ".join(f"{name} {config[name]}" for name in SIZES if name in config),
        parameters=parameters(load_any(WEIGHTS)[0]),
        steps=state["step"],
        seen=state["step"] * config["batch_size"] * config["block_size"],
        table=table(WEIGHTS),
    )
    (WEIGHTS.parent / "README.md").write_text(card, encoding="utf-8")
    print(card, end="")


if __name__ == "__main__":
    run(main)
