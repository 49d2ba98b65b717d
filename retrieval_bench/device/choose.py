"""Which device computes, and in which arithmetic."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import torch

from retrieval_bench.errors import UnavailableError, UsageError

Precision = Literal["float32", "bfloat16", "float16", "int8"]


def choose_device(asked: str | None = None) -> torch.device:
    """The device of this name; None and ``auto`` are a GPU where there is one that works.

    Raises:
        UsageError: torch does not know such a device.
        UnavailableError: this machine does not have it, or its driver does not serve this torch.
    """
    count, why = _gpus()
    try:
        device = torch.device(("cuda" if count else "cpu") if asked in (None, "auto") else asked)
    except RuntimeError as error:
        raise UsageError(f"device {asked!r} is not one that torch knows: use 'auto', 'cpu' or 'cuda'") from error
    if device.type == "cuda" and (device.index or 0) >= count:
        raise UnavailableError(f"device {asked!r}: torch sees {count} CUDA devices{why}; use 'cpu'")
    return device


def _gpus() -> tuple[int, str]:
    """How many GPUs torch can use, and what it says where that is none (a driver that is too old, for one)."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    reasons = [str(warning.message).strip().partition("\n")[0] for warning in said]
    return count, f" ({reasons[-1]})" if reasons else ""


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16, rather than emulating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
    except OSError:
        return False  # not Linux: cannot be told, and float32 is right everywhere
    return device.type == "cpu" and not words.isdisjoint({"avx512_bf16", "amx_bf16"})


def choose_precision(asked: Precision | Literal["auto"], device: torch.device) -> Precision:
    """What vectors are multiplied in: as asked, or what is fastest on the device and wide enough for any vector.

    ``auto`` is bfloat16 on a GPU that has it and float32 elsewhere; float16 overflows beyond 65,504 and is chosen only
    by name.
    """
    if asked != "auto":
        return asked
    return "bfloat16" if device.type == "cuda" and native_bfloat16(device) else "float32"
