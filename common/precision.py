"""The type of matrix products: bfloat16 where the device has instructions for it, float32 where it would emulate them.

An emulated product takes 40 to 60 times as long as one in float32.
"""

import torch


def product_dtype(device: torch.device) -> torch.dtype:
    """The type in which a device multiplies matrices fastest: torch.bfloat16 or torch.float32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "mps":
        fast = torch.backends.mps.is_macos_or_newer(14, 0)
    else:
        abilities = torch.cpu.get_capabilities()
        older = torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")  # or kept so by ATEN_CPU_CAPABILITY
        fast = not older and any(abilities.get(name) for name in ("amx_bf16", "avx512_bf16"))
    return torch.bfloat16 if fast else torch.float32


def low_precision(device: torch.device) -> torch.autocast:
    """A context in which matrix products are of `product_dtype`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=product_dtype(device) == torch.bfloat16)
