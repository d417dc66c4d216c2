"""Messages between the check and the learner's process: a JSON object, and the numbers of its tensors as bytes.

Neither side runs code from a message, as unpickling would.
"""

import ctypes
import json
import struct
from typing import Any, BinaryIO

import torch

DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool)}
LARGEST = 2**28  # bytes of a message


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Write a message. Its values may be nested lists, dicts, strings, numbers, None and tensors."""
    numbers: list[bytes] = []
    text = json.dumps(_pack(message, numbers)).encode()
    payload = b"".join(numbers)
    stream.write(struct.pack("<II", len(text), len(payload)) + text + payload)
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any]:
    """Read a message. Raises EOFError where the other side is gone, ValueError for anything that is no message."""
    text_size, payload_size = struct.unpack("<II", _read(stream, 8))
    if text_size + payload_size > LARGEST:
        raise ValueError("a message too large")
    text, payload = _read(stream, text_size), _read(stream, payload_size)
    message = _unpack(json.loads(text), payload)
    if not isinstance(message, dict):
        raise ValueError("no message")
    return message


def _read(stream: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _pack(value: Any, numbers: list[bytes]) -> Any:
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        if str(tensor.dtype) not in DTYPES:
            tensor = tensor.to(torch.float32 if tensor.is_floating_point() else torch.int64)
        start = sum(map(len, numbers))
        numbers.append(ctypes.string_at(tensor.data_ptr(), tensor.numel() * tensor.itemsize))
        return {"tensor": str(tensor.dtype), "shape": list(tensor.shape), "start": start}
    if isinstance(value, dict):
        return {str(key): _pack(item, numbers) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_pack(item, numbers) for item in value]
    return value


def _unpack(value: Any, payload: bytes) -> Any:
    if isinstance(value, dict) and value.keys() == {"tensor", "shape", "start"}:
        dtype, shape, start = DTYPES[value["tensor"]], value["shape"], value["start"]
        size = dtype.itemsize
        for length in shape:
            size *= length
        if not 0 <= start <= start + size <= len(payload):
            raise ValueError("a tensor beyond its message")
        if not size:
            return torch.empty(shape, dtype=dtype)
        return torch.frombuffer(bytearray(payload[start : start + size]), dtype=dtype).view(shape)
    if isinstance(value, dict):
        return {key: _unpack(item, payload) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, payload) for item in value]
    return value
