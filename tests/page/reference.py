"""Writes what tests/page/gpt.test.mjs compares: python tests/page/reference.py DIR

For each lesson a small model with lively weights: its safetensors file, and in reference.json PyTorch's logits of texts
of several lengths, attention weights, and the text that its own `generate` writes without chance.
"""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from page.export import as_safetensors

import torch

VOCABULARY = ["\n", *(chr(code) for code in range(32, 96))]
NAMES = ["task01", "task02", "task03", "task04", "task05", "task06", "task07", "task09_rope"]
LARGE = {"block_size": 24, "n_embd": 48, "n_head": 3, "n_layer": 2}
WRITTEN = 300


def small(name: str):
    """A lesson's model, in evaluation mode, with weights far from their initial ones."""
    module = importlib.import_module(name)
    config = module.Config(**LARGE) if name > "task06" else module.Config()
    torch.manual_seed(7)
    model = module.GPT(config, len(VOCABULARY)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1 if name == "task05" else 0.3)  # no norms: its sums grow
    return model, config


@torch.no_grad()
def reference(name: str, folder: Path) -> dict:
    """The numbers of one lesson's model."""
    model, config = small(name)
    state = {"model": model.state_dict(), "model_name": name, "step": 0, "vocabulary": VOCABULARY}
    (folder / f"{name}.safetensors").write_bytes(as_safetensors(state | {"config": dataclasses.asdict(config)}))
    lengths = sorted({1, 2, 5, config.block_size})
    texts = [torch.randint(len(VOCABULARY), (length,)).tolist() for length in lengths]
    weights = []
    attention = importlib.import_module(name).attention

    def watched(q, k, v, mask, scale, *rest):
        scores = (q @ k.transpose(-2, -1) * scale).masked_fill(~mask, float("-inf"))
        weights.append(scores.softmax(dim=-1).flatten(0, -3).tolist())
        return attention(q, k, v, mask, scale, *rest)

    module = sys.modules[name]
    module.attention = watched
    logits = [model(torch.tensor([text]))[0, -1].tolist() for text in texts]
    module.attention = attention
    module.sample = lambda logits, temperature: logits.argmax(dim=-1, keepdim=True)
    greedy = model.generate(torch.tensor([[0]]), WRITTEN)[0, 1:].tolist()
    last = weights[-getattr(config, "n_layer", 1) :]  # of the longest text, a block each
    return {"texts": texts, "logits": logits, "greedy": greedy, "weights": last}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    (place / "reference.json").write_text(json.dumps({name: reference(name, place) for name in NAMES}))
