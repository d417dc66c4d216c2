"""A model as a safetensors file, with its configuration and vocabulary in the header.

The page reads it, and so do the tools of others: https://github.com/huggingface/safetensors
"""

import json
from pathlib import Path
from typing import Any

from common.checkpoint import naming
from common.extras import optional

import torch

TYPES = {torch.float32: "float32", torch.float16: "float16"}


def as_safetensors(state: dict[str, Any], dtype: torch.dtype = torch.float32, fault: str = "") -> bytes:
    """What `common.checkpoint.load` returned, as the bytes of a file. Raises UserError where safetensors is missing.

    Names and shapes of the tensors are the model's. The header has the strings model_name, step, config (JSON),
    vocabulary (JSON) and fault, the fault with which the model was trained, if there is one.
    """
    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in state["model"].items()}
    metadata = {"model_name": state["model_name"], "step": str(state["step"]), "fault": fault}
    metadata |= {name: json.dumps(state[name], ensure_ascii=False) for name in ("config", "vocabulary")}
    library = optional("safetensors", "page")  # its module for PyTorch needs NumPy
    parts = {
        name: library.TensorSpec(
            dtype=TYPES[dtype], shape=list(tensor.shape), data_ptr=tensor.data_ptr(), data_len=tensor.nbytes
        )
        for name, tensor in tensors.items()
    }
    return library.serialize(parts, metadata)


def load_safetensors(path: Path) -> dict[str, Any]:
    """What `as_safetensors` wrote, as `common.checkpoint.load` returns it, in float32.

    Raises UserError for a file that is missing or is not one, and where safetensors is missing.
    """
    library = optional("safetensors", "page")
    with naming(path):
        content = path.read_bytes()
        parts = library.deserialize(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        state = {"model_name": metadata["model_name"], "step": int(metadata["step"])}
        state |= {name: json.loads(metadata[name]) for name in ("config", "vocabulary")}
        types = {"F32": torch.float32, "F16": torch.float16}
        state["model"] = {
            name: torch.frombuffer(part["data"], dtype=types[part["dtype"]]).view(part["shape"]).float()
            for name, part in parts
        }
        return state
