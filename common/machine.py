"""The machine's own speed, to be quoted with every time: python -m common.machine"""

import os
import platform
import time
from pathlib import Path

from common import precision

import torch

SIZE = 1024  # of the square matrices
REPEATS = 12


def gemm_gflops(dtype: torch.dtype) -> float:
    """GFLOP/s of one core in products of large square matrices: the best of some repeats.

    The number of threads is left as it was.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one, other = torch.randn(2, SIZE, SIZE).to(dtype)
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - start)
    torch.set_num_threads(threads)
    return 2 * SIZE**3 / best / 1e9


def processor() -> str:
    """The processor's name, where the system tells it."""
    place = Path("/proc/cpuinfo")
    lines = place.read_text(encoding="utf-8").splitlines() if place.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def describe() -> str:
    """One line: cores, processor, the instructions that PyTorch uses, PyTorch, and GEMM speed of one core."""
    speeds = [f"float32 {gemm_gflops(torch.float32):.0f}"]
    if precision.product_dtype(torch.device("cpu")) == torch.bfloat16:
        speeds.append(f"bfloat16 {gemm_gflops(torch.bfloat16):.0f}")
    kind = f"{platform.machine()} ({processor()}, {torch.backends.cpu.get_cpu_capability()})"
    machine = f"{os.cpu_count()} cores, {kind}, PyTorch {torch.__version__}"
    return f"{machine}; GEMM on one core: {', '.join(speeds)} GFLOP/s"


if __name__ == "__main__":
    print(describe())
