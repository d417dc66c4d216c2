"""Messages between the check and the learner's process: a JSON object, and the numbers of its tensors as bytes.

Neither side runs code from a message, which unpickling would do.
"""

import ctypes
import json
import math
import struct
from typing import Any, BinaryIO

import torch

DTYPES = {str(dtype): dtype for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool)}
LARGEST_TEXT, LARGEST = 2**20, 2**27  # bytes of a message: its JSON, and its tensors
MOST_AXES = 8


def send(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Write a message. Its values may be nested lists, dicts, strings, numbers, None and tensors."""
    numbers: list[bytes] = []
    text = json.dumps(_pack(message, numbers)).encode()
    payload = b"".join(numbers)
    stream.write(struct.pack("<II", len(text), len(payload)) + text + payload)
    stream.flush()


def receive(stream: BinaryIO) -> dict[str, Any]:
    """Read a message. Raises EOFError where the other side is gone, ValueError for anything that is not a message."""
    text_size, payload_size = struct.unpack("<II", _read(stream, 8))
    if text_size > LARGEST_TEXT or payload_size > LARGEST:
        raise ValueError("a message too large")
    text, payload = _read(stream, text_size), _read(stream, payload_size)
    message = _unpack(json.loads(text), payload, [payload_size])
    if not isinstance(message, dict):
        raise ValueError("no message")
    return message


def _read(stream: BinaryIO, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


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


def _unpack(value: Any, payload: bytes, left: list[int]) -> Any:
    """A value with its tensors, which take together no more than the bytes `left`."""
    if isinstance(value, dict) and value.keys() == {"tensor", "shape", "start"}:
        return _tensor(DTYPES[value["tensor"]], value["shape"], value["start"], payload, left)
    if isinstance(value, dict):
        return {key: _unpack(item, payload, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_unpack(item, payload, left) for item in value]
    return value


def _tensor(dtype: torch.dtype, shape: list[int], start: int, payload: bytes, left: list[int]) -> torch.Tensor:
    if len(shape) > MOST_AXES or any(type(length) is not int or not 0 <= length < 2**31 for length in shape):
        raise ValueError("no shape")
    size = math.prod(shape) * dtype.itemsize
    left[0] -= size
    if left[0] < 0 or not 0 <= start <= start + size <= len(payload):
        raise ValueError("a tensor beyond its message")
    if not size:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(payload[start : start + size]), dtype=dtype).view(shape)
