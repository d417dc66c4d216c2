"""A checkpoint as a safetensors file, with its configuration and vocabulary in the header.

The page reads it, and so do the tools of others: https://github.com/huggingface/safetensors
"""

import json
from typing import Any

from common.extras import optional

import torch


def as_safetensors(state: dict[str, Any], dtype: torch.dtype = torch.float32, fault: str = "") -> bytes:
    """What `common.checkpoint.load` returned, as the bytes of a file. Raises UserError where safetensors is missing.

    Names and shapes of the tensors are the model's. The header has the strings model_name, step, config (JSON),
    vocabulary (JSON) and fault, the fault with which the model was trained, if there is one.
    """
    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in state["model"].items()}
    metadata = {"model_name": state["model_name"], "step": str(state["step"]), "fault": fault}
    metadata |= {name: json.dumps(state[name], ensure_ascii=False) for name in ("config", "vocabulary")}
    library = optional("safetensors", "page")  # its module for PyTorch needs NumPy
    types = {torch.float32: "float32", torch.float16: "float16"}
    parts = {
        name: library.TensorSpec(
            dtype=types[dtype], shape=list(tensor.shape), data_ptr=tensor.data_ptr(), data_len=tensor.nbytes
        )
        for name, tensor in tensors.items()
    }
    return library.serialize(parts, metadata)
