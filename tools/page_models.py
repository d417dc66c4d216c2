"""The models of the page: python -m tools.page_models, or --add task07 RUN.pt

Trains tasks 1 to 6 by their documented commands, with a snapshot at some steps, and one model with each of a few bugs
of tools/mutants.py. Writes page/models/*.safetensors and index.json, which says what each file is. `--add` takes a
trained checkpoint of task 7 or 9 in, in float16. A run that ends 0.02 nats from its log in docs/logs is refused.
"""

import contextlib
import io
import json
import re
import sys
import types
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

from common.checkpoint import load
from common.data import Corpus
from common.options import DEFAULT_TEXT
from common.parser import Parser
from common.run import UserError, progress, run
from common.safetensors import as_safetensors
from exercises import build
from tools.mutants import MUTANTS
from tools.tables import LESSONS, logs, seeds

import torch

MODELS = Path(__file__).resolve().parent.parent / "page" / "models"
SNAPSHOTS = (0, 100, 200, 500, 1000, 2000)
LINE = re.compile(r"^Epoch (\d+): avg train loss ([\d.]+) \| avg val loss ([\d.]+)$", re.MULTILINE)
# What is shown of a bug: its fault in page/js/gpt.js → task, its name in the table of bugs, and what it does.
FAULTS = {
    "no_mask": ("task06", "no mask", "Every position sees what comes after it, so training gives the answer away."),
    "no_scale": ("task06", "no scale", "Scores are not divided, so the softmax is nearly all or nothing."),
    "no_skip": ("task05", "no skip around attention", "What a block read is lost where attention does not pass it on."),
    "no_positions": ("task02", "no positions", "The model knows which characters came before, but not in what order."),
    "softmax_over_queries": (
        "task05",
        "softmax over the queries",
        "The weights of a position do not sum to 1; those of a key do, over all that look at it.",
    ),
}


def train(name: str, source: str, fault: str = "") -> tuple[list[dict], list[list[float]]]:
    """Run a lesson's source as `python taskNN.py`; its models at the snapshots and at the end, and its log's lines."""
    module: Any = types.ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    config, models, states = module.Config(), [], []  # type: ignore[var-annotated]

    class Watched(module.GPT):  # type: ignore[name-defined]
        def __init__(self, *sizes):
            super().__init__(*sizes)
            models.append(self)

    def note(step: int) -> None:
        weights = {key: tensor.clone() for key, tensor in models[0].state_dict().items()}
        states.append({"model_name": name, "step": step, "model": weights, "fault": fault, "config": asdict(config)})

    def steps(total: int):
        for step in range(total):
            progress.where = f"at step {step} of {name} {fault}"
            if step in SNAPSHOTS:
                note(step)
            yield step
        note(total)

    module.__dict__.update(GPT=Watched, training_steps=steps, print_sample=lambda *_: None)
    with contextlib.redirect_stdout(io.StringIO()) as log, mock.patch.object(sys, "argv", [f"{name}.py"]):
        module.main()
    return states, lines(log.getvalue())


def lines(log: str) -> list[list[float]]:
    """Step, training and validation loss of each line."""
    return [[int(step), float(train), float(val)] for step, train, val in LINE.findall(log)]


def save(state: dict, path: Path, dtype: torch.dtype = torch.float32) -> dict:
    """Write a model; where it is, for the index."""
    path.write_bytes(as_safetensors(state, dtype, state.get("fault", "")))
    return {"file": path.name, "bytes": path.stat().st_size}


def log_of(name: str) -> str:
    """The text of a lesson's committed log; of several seeds, the first."""
    return (logs(f"{name}.txt") or seeds(name))[0]


def final(name: str) -> float:
    """The loss that a lesson's log ends with: of the whole validation text if it has that, else of its last line."""
    whole = re.search(r"^Final val loss: ([\d.]+)", log_of(name), re.MULTILINE)
    return float(whole[1]) if whole else lines(log_of(name))[-1][2]


def entry(name: str, state: dict, place: dict) -> dict:
    """What index.json says of a lesson's model."""
    size = sum(tensor.numel() for tensor in state["model"].values())
    about = {"name": name, "script": f"{name}.py", "idea": LESSONS[name].partition(";")[0], "parameters": size}
    about |= {"val_loss": final(name), "log": lines(log_of(name)), "config": state["config"]}
    return about | place | {"snapshots": [], "broken": []}


def core() -> list[dict]:
    """Tasks 1 to 6, with snapshots in float16 and their broken models."""
    vocabulary = Corpus(DEFAULT_TEXT, block_size=8).vocabulary
    found = []
    for name in (f"task0{n}" for n in range(1, 7)):
        states, log = train(name, build.source(name))
        if abs(log[-1][2] - lines(log_of(name))[-1][2]) > 0.02:
            raise UserError(f"{name}: ended at {log[-1][2]}, its log at {lines(log_of(name))[-1][2]}")
        states = [state | {"vocabulary": vocabulary} for state in states]
        about = entry(name, states[-1], save(states[-1], MODELS / f"{name}.safetensors"))
        for state in states[:-1]:
            place = save(state, MODELS / f"{name}_step{state['step']}.safetensors", torch.float16)
            about["snapshots"].append({"step": state["step"], **place})
        for fault, (task, what, text) in FAULTS.items():
            if task == name:
                about["broken"].append(broken(fault, name, what, text, vocabulary))
        found.append(about)
        print(f"{name}: {log[-1][2]:.4f}", flush=True)
    return found


def broken(fault: str, name: str, what: str, text: str, vocabulary: str) -> dict:
    """A lesson's model trained with one bug."""
    (mutant,) = (each for each in MUTANTS if (each.task, each.what) == (name, what))
    states, log = train(name, mutant.text(), fault)
    place = save(states[-1] | {"vocabulary": vocabulary}, MODELS / f"{name}_{fault}.safetensors")
    return {"name": fault, "title": what, "text": text, "log": log, **place}


def main() -> None:
    parser = Parser(description=__doc__)
    parser.add_argument("--add", nargs=2, metavar=("TASK", "RUN"), help="take in a checkpoint of task 7 or 9")
    given = parser.parse_args()
    torch.set_num_threads(1)
    MODELS.mkdir(exist_ok=True)
    index = MODELS / "index.json"
    if given.add:
        name, path = given.add
        models = json.loads(index.read_text(encoding="utf-8"))["models"]
        state = load(Path(path))
        place = save(state, MODELS / f"{name}.safetensors", torch.float16)
        models = [each for each in models if each["name"] != name] + [entry(name, state, place)]
    else:
        old = json.loads(index.read_text(encoding="utf-8"))["models"] if index.exists() else []
        models = core() + [each for each in old if each["name"] > "task06"]
    models.sort(key=lambda each: each["name"])
    index.write_text(json.dumps({"models": models}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
