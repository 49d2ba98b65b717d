"""Whether there is a GPU to hand work to, asked without importing torch where there is no driver."""

from __future__ import annotations

import shutil
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@cache
def gpu() -> torch.device | None:
    """The GPU that numpy code may hand large products to; None where there is none, or no torch that can use it."""
    if shutil.which("nvidia-smi") is None:
        return None
    try:
        from retrieval_bench.device.choose import choose_device
    except ImportError:
        return None
    device = choose_device(None)
    return device if device.type == "cuda" else None
