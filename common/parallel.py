"""One training run over several processes, as torchrun starts them; a process alone is a run of one.

Every process holds the whole model, draws the same global batch and learns from its share of the rows.
DistributedDataParallel averages the gradients (https://arxiv.org/abs/2006.15704). Only the first process prints and
saves. If one dies, torchrun (`--max-restarts`) starts all again, and they go on from the last checkpoint.
"""

import contextlib
import os
from collections.abc import Iterator

from common import pytorch  # noqa: F401
from common.run import UserError
from common.terminal import in_torchrun

import torch
from torch import distributed, nn

_store: "distributed.Store | None" = None  # torchrun's, which outlives a restart


def start(device: torch.device) -> torch.device:
    """Join the run that torchrun started, if it did; the device this process is to use.

    CPU processes talk through gloo, GPU processes (each its own GPU) through NCCL.
    """
    if not in_torchrun() or distributed.is_initialized():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torchrun_serves = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    global _store
    _store = distributed.TCPStore(*address, size, is_master=rank == 0 and not torchrun_serves)
    # torchrun's store outlives a restart: under the same names, processes would find the addresses of dead ones.
    store = distributed.PrefixStore(f"restart {_restarts()}", _store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    return device


def finish() -> None:
    """Leave the run; what follows (sampling, say) each process does by itself."""
    if distributed.is_initialized():
        distributed.barrier()  # no one hangs up while another still listens
        distributed.destroy_process_group()


def rank() -> int:
    """This process's number, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def size() -> int:
    """How many processes the run has."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def restarted() -> bool:
    """Whether torchrun started this process again, after one of a run that had begun (see `begin`) had died."""
    return _store is not None and any(_store.check([f"begun {count}"]) for count in range(_restarts()))


def begin() -> None:
    """Tell a later restart that this run's checkpoint may be written from now on."""
    if _store is not None:
        _store.set(f"begun {_restarts()}", "yes")


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def wrap(model: nn.Module, device: torch.device) -> nn.Module:
    """The model whose backward pass averages gradients over all processes; alone, the model itself."""
    if size() == 1:
        return model
    return nn.parallel.DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None)


def share(rows: torch.Tensor) -> torch.Tensor:
    """This process's equal part of the rows (B, …) of a global batch: (B / size, …). Raises UserError if unequal."""
    if len(rows) % size():
        raise UserError(f"a batch of {len(rows)} does not divide among {size()} processes")
    return rows.chunk(size())[rank()]


def total(*numbers: float) -> list[float]:
    """Each number's sum over all processes."""
    if size() == 1:
        return list(numbers)
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    sums = torch.tensor(numbers, dtype=torch.float64, device=device)
    distributed.all_reduce(sums)
    return sums.tolist()


@contextlib.contextmanager
def own_noise() -> Iterator[None]:
    """Dropout of its own for each process, while the numbers that draw the batches stay common to all."""
    if size() == 1:
        yield
        return
    common = torch.get_rng_state()
    torch.manual_seed(int(torch.randint(2**62, ())) + rank())
    yield
    torch.set_rng_state(common)
