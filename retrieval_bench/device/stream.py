"""Arrays on a device: moved there once, or read in parts from host memory while the device works on the last part."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch


def to_device(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """The array on the device; on the CPU the same memory, which is never written to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def streamed(array: npt.NDArray[np.float32], rows: int, device: torch.device) -> Iterator[tuple[int, torch.Tensor]]:
    """Parts of (n, d) on the device, with the number of their first row.

    The next part is copied, through pinned memory on a stream of its own, while what the caller has launched on this
    one still runs; two parts are on the device at a time.
    """
    starts = range(0, len(array), rows)
    if device.type != "cuda":
        for start in starts:
            yield start, to_device(array[start : start + rows], device)
        return
    copier = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    pinned = [torch.empty((min(rows, len(array)), array.shape[1]), pin_memory=True) for _ in range(2)]
    copied: list[torch.cuda.Event | None] = [None, None]
    for number, start in enumerate(starts):
        place = number % 2
        if (last := copied[place]) is not None:
            last.synchronize()  # its copy has left the pinned memory
        part = array[start : start + rows]
        pinned[place][: len(part)].copy_(to_device(part, torch.device("cpu")))
        with torch.cuda.stream(copier):
            there = pinned[place][: len(part)].to(device, non_blocking=True)
            copied[place] = copier.record_event()
        torch.cuda.current_stream(device).wait_stream(copier)
        there.record_stream(torch.cuda.current_stream(device))
        yield start, there
