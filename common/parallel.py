"""One training run over several processes, as torchrun starts them; a process alone is a run of one.

Every process holds the whole model, draws the same global batch and learns from its share of the rows.
DistributedDataParallel averages the gradients (https://arxiv.org/abs/2006.15704). Only the first process prints and
saves. If one dies, torchrun (`--max-restarts`) starts all again, and they go on from the last checkpoint.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from common import pytorch  # noqa: F401
from common.run import UserError
from common.terminal import in_torchrun

import torch
from torch import distributed, nn

ATTEMPT = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
_store: Any = None  # torchrun's, which outlives a restart


def start(device: torch.device) -> torch.device:
    """Join the run that torchrun started, if it did; the device this process is to use: of the GPUs, its own."""
    if not in_torchrun() or distributed.is_initialized():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    global _store
    _store, rank, size = next(distributed.rendezvous("env://"))
    # Under the same names as before a restart, processes would find the addresses of dead ones.
    store = distributed.PrefixStore(f"attempt {ATTEMPT}", _store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    return device


def finish() -> None:
    """Leave the run; what follows (sampling, say) each process does by itself."""
    if distributed.is_initialized():
        distributed.barrier()  # no one hangs up while another still listens
        distributed.destroy_process_group()


def begin() -> None:
    """Tell a later restart that this run's checkpoint may be written from now on."""
    if _store is not None:
        _store.compare_set("begun", "", ATTEMPT)


def restarted() -> bool:
    """Whether torchrun started this process again, after one of a run that had begun (see `begin`) had died."""
    return _store is not None and _store.check(["begun"]) and _store.get("begun").decode() != ATTEMPT


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """How many processes the run has."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def wrap(model: nn.Module) -> nn.Module:
    """The model whose backward pass averages gradients over all processes; alone, the model itself."""
    return nn.parallel.DistributedDataParallel(model) if size() > 1 else model


def share(rows: torch.Tensor) -> torch.Tensor:
    """This process's equal part of the rows (B, …) of a global batch: (B / size, …). Raises UserError if unequal."""
    if len(rows) % size():
        raise UserError(f"a batch of {len(rows)} does not divide among {size()} processes")
    return rows.chunk(size())[rank()]


def total(*numbers: float) -> list[float]:
    """Each number's sum over all processes."""
    sums = torch.tensor(numbers, dtype=torch.float64)
    if size() > 1:
        sums = sums.to("cuda" if distributed.get_backend() == "nccl" else "cpu")
        distributed.all_reduce(sums)
    return sums.tolist()


@contextlib.contextmanager
def own_noise() -> Iterator[None]:
    """Dropout of its own for each process, while the numbers that draw the batches stay common to all."""
    with torch.random.fork_rng(devices=[], enabled=size() > 1):
        if size() > 1:
            torch.manual_seed(int(torch.randint(2**62, ())) + rank())
        yield
