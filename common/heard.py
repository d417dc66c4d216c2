"""What a model's softmax returns: attention weights, however the model is written."""

import contextlib
from collections.abc import Iterator

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

SOFTMAXES = (torch.ops.aten._softmax.default, torch.ops.aten._safe_softmax.default)


class _Heard(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[torch.Tensor] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **kwargs or {})
        if operation in SOFTMAXES:
            self.found.append(result.float())
        return result


@contextlib.contextmanager
def heard() -> Iterator[list[torch.Tensor]]:
    """Inside, all that a softmax returns is kept, of the library's attention, too: in its plain form it calls one."""
    with sdpa_kernel(SDPBackend.MATH), _Heard() as mode:
        yield mode.found
