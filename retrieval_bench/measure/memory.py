"""Memory of a process on the host: private bytes, not RSS, which counts shared and mapped files."""

from __future__ import annotations

import ctypes
import gc
import mmap
import sys
import threading
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import psutil


def settle() -> None:
    """Give back what is free but held (garbage, the allocator's spare pages), so that a reading means something."""
    gc.collect()
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):  # a libc without it (musl): the reading is a little high
            return


def forget_pages(array: npt.NDArray[Any] | None) -> None:
    """Let go of the pages of a mapped array that were read: they stay in the file and in its cache.

    An array in memory is left alone. Without it what the harness reads to score answers would count as the system's.
    """
    holder: object = array
    while isinstance(holder, np.ndarray):
        holder = holder.base
    if isinstance(holder, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        holder.madvise(mmap.MADV_DONTNEED)


def private_bytes(pid: int | None = None) -> int:
    """Unique set size in bytes: pages that would be freed if the process (default: this one) ended now."""
    return int(psutil.Process(pid).memory_full_info().uss)


def watched_bytes(process: psutil.Process) -> int:
    """Cheap estimate of private bytes for polling: resident minus shared, which reads one line of the kernel's.

    The exact figure walks all mappings and would disturb what is being measured.
    """
    info = process.memory_info()
    shared = getattr(info, "shared", None)
    return int(info.rss - shared) if shared is not None else int(process.memory_full_info().uss)


class PeakWatch:
    """Context manager: the highest private memory of this process seen while inside, as ``peak`` (bytes)."""

    def __init__(self, interval: float = 0.02) -> None:
        self.peak = 0
        self._interval, self._stop = interval, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def _sample(self) -> None:
        process = psutil.Process()
        while True:
            self.peak = max(self.peak, watched_bytes(process))
            if self._stop.wait(self._interval):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = max(self.peak, watched_bytes(psutil.Process()))
