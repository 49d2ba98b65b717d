"""Memory on NVIDIA devices: what this process held at most, how it is limited, and how a lack of it ends a run.

torch is asked only where it has been imported, so that measuring a system without it does not load it.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from retrieval_bench.errors import DeviceMemoryError
from retrieval_bench.types import Budget, Outcome

_DEVICE = re.compile(r"/dev/nvidia\d+")


def device_bytes() -> int | None:
    """Bytes this process holds on NVIDIA devices now, or None where no driver says so.

    In a container the driver may list processes by other numbers than ours, or none: a process that has a device open
    and is not listed cannot be read, and one that has none open holds nothing.
    """
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines() if line.count(",") == 1]
    ours = [int(used) << 20 for owner, used in rows if owner == str(os.getpid()) and used.isdigit()]
    return sum(ours) if ours or not _has_a_device_open() else None


def _has_a_device_open(files: Path = Path("/proc/self/fd")) -> bool:
    """Whether this process has opened an NVIDIA device, as whoever computes on one has; True where it is not told."""
    try:
        return any(_DEVICE.fullmatch(str(file.readlink())) for file in list(files.iterdir()) if file.is_symlink())
    except OSError:
        return True


class DevicePeak:
    """The most that this process has held on devices since this was made.

    torch's allocator knows its own peak. What else is there (CUDA's own memory, other engines) is as the driver says at
    each look, so that a peak of theirs between two looks is not seen.
    """

    def __init__(self) -> None:
        torch = _cuda_torch()
        if torch is not None:
            torch.cuda.empty_cache()  # what is kept for later, and not used, is of the time before
            for device in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(device)
        self._seen = device_bytes()

    def look(self) -> int | None:
        """Bytes at the peak so far, of all devices; None where there is neither a driver nor a GPU that torch uses."""
        read = [self._seen, device_bytes(), _allocator_peak()]
        self._seen = max((bytes_ for bytes_ in read if bytes_ is not None), default=None)
        return self._seen


def limit(budget: Budget) -> None:
    """Let torch's allocator refuse what is over the budget's ``device_bytes``; nothing without them or without a GPU.

    It takes effect when torch first uses the current device, so that a system on the CPU does not come to hold CUDA's
    own memory by it. This memory, as far as the driver tells it, is taken off what torch may use. Other devices and
    other engines are not limited, only measured.
    """
    if budget.device_bytes is None or (shutil.which("nvidia-smi") is None and "torch" not in sys.modules):
        return
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        allowed = budget.device_bytes
        torch.cuda._lazy_call(lambda: _limit(torch, allowed))  # type: ignore[no-untyped-call]  # noqa: SLF001


def ending(error: BaseException, budget: Budget) -> tuple[Outcome, str] | None:
    """Outcome and reason of a run that ends with this error; None where no lack of device memory caused it."""
    if not _out_of_memory(error):
        return None
    said = str(error).strip().partition("\n")[0]
    if budget.device_bytes is None:
        return "crashed", f"out of device memory: {said}"
    return "over_budget", f"{said.rstrip('.')} ({budget.device_bytes:,} bytes are allowed: device_bytes)"


def unread(peak: int | None, budget: Budget) -> tuple[str, ...]:
    """One line where a budget on device memory could not be checked; none where it was, or nothing used a device."""
    if peak is not None or budget.device_bytes is None or not _has_a_device_open():
        return ()
    return ("device_bytes could not be checked: the driver does not tell what this process holds (in a container?).",)


def breach_of_device(peak: int | None, budget: Budget, when: str) -> str | None:
    """Why a peak on the device is over the budget, or None when it is within, unlimited or unknown."""
    if peak is None or budget.device_bytes is None or peak <= budget.device_bytes:
        return None
    return f"{peak:,} bytes on the device {when}, {budget.device_bytes:,} are allowed (device_bytes)"


def _limit(torch: Any, allowed: int) -> None:
    _, total = torch.cuda.mem_get_info()  # makes CUDA take its own memory, which the next line then sees
    left = allowed - (device_bytes() or 0)
    torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.0, left / total)))


def _cuda_torch() -> Any:
    """The module torch where this process uses a GPU by it, else None."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _allocator_peak() -> int | None:
    torch = _cuda_torch()
    if torch is None:
        return None
    return sum(int(torch.cuda.max_memory_reserved(device)) for device in range(torch.cuda.device_count()))


def _out_of_memory(error: BaseException) -> bool:
    """Whether this error, or one that it was raised from, is a lack of memory on a device."""
    torch = sys.modules.get("torch")
    kinds = (DeviceMemoryError,) if torch is None else (DeviceMemoryError, torch.OutOfMemoryError)
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen).lower()
        # CUDA itself and faiss say it in an error of no kind of its own.
        if isinstance(seen, kinds) or (isinstance(seen, RuntimeError) and "cuda" in text and "out of memory" in text):
            return True
        seen = seen.__cause__
    return False
