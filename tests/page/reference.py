"""Writes what tests/page/gpt.test.mjs compares: python tests/page/reference.py DIR LENGTH

For each lesson, and for each fault that the page shows, a small model with lively weights: its safetensors file, and in
reference.json PyTorch's logits of texts of several lengths, attention weights, and the text that its own `generate`
writes without chance, of LENGTH characters.
"""

import dataclasses
import importlib
import json
import sys
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from common.heard import heard
from common.safetensors import as_safetensors
from tools.mutants import ALL, MUTANTS
from tools.page_models import FAULTS

import torch

VOCABULARY = ["\n", *(chr(code) for code in range(32, 96))]
LARGE = {"block_size": 24, "n_embd": 48, "n_head": 3, "n_layer": 2}


def module_of(name: str, fault: str):
    """A lesson, or its text with the bug that has this fault."""
    if not fault:
        return importlib.import_module(name)
    (mutant,) = (each for each in MUTANTS if (each.task, each.what) == FAULTS[fault][:2])
    module = types.ModuleType(name)
    exec(compile(mutant.text(), name, "exec"), module.__dict__)
    return module


@torch.no_grad()
def reference(name: str, folder: Path, length: int, fault: str = "") -> dict:
    """The numbers of one lesson's model; of a fault without attention weights."""
    module = module_of(name, fault)
    config = module.Config(**LARGE) if name > "task06" else module.Config()
    torch.manual_seed(7)
    model = module.GPT(config, len(VOCABULARY)).eval()
    for parameter in model.parameters():  # far from their initial ones; without norms the sums grow
        torch.nn.init.normal_(parameter, std=0.1 if name == "task05" else 0.3)
    state = {"model": model.state_dict(), "model_name": name, "step": 0, "vocabulary": VOCABULARY}
    content = as_safetensors(state | {"config": dataclasses.asdict(config)}, fault=fault)
    (folder / f"{fault or name}.safetensors").write_bytes(content)
    lengths = sorted({1, 2, 5, config.block_size})
    texts = [torch.randint(len(VOCABULARY), (T,)).tolist() for T in lengths]
    with heard() as weights:
        logits = [model(torch.tensor([text]))[0, -1].tolist() for text in texts]
    module.sample = lambda logits, temperature: logits.argmax(dim=-1, keepdim=True)
    greedy = model.generate(torch.tensor([[0]]), length)[0, 1:].tolist()
    last = [] if fault else weights[-getattr(config, "n_layer", 1) :]  # of the longest text, a block each
    shown = [each.flatten(0, -3).tolist() for each in last]
    return {"texts": texts, "logits": logits, "greedy": greedy, "weights": shown}


if __name__ == "__main__":
    place, length = Path(sys.argv[1]), int(sys.argv[2])
    found = {name: reference(name, place, length) for name in ALL}
    found |= {fault: reference(task, place, length, fault) for fault, (task, *_) in FAULTS.items()}
    (place / "reference.json").write_text(json.dumps(found))
