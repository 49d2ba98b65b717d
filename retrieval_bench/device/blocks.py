"""Work in blocks that fit into the device's memory: a block that does not is halved, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from retrieval_bench.errors import DeviceMemoryError

T = TypeVar("T")


class Blocks:
    """Runs a function over slices of rows.

    The size that fitted is kept for the next time, so that memory runs out once rather than at every call.

    Attributes:
        size: rows of a block.
        notes: one line for each time that the size had to be halved.
    """

    def __init__(self, size: int, what: str) -> None:
        self.size = size
        self.notes: list[str] = []
        self._what = what

    def run(self, total: int, work: Callable[[slice], T]) -> list[T]:
        """``work`` of consecutive slices of ``range(total)``; no rows, no calls.

        Raises:
            DeviceMemoryError: one row alone does not fit.
        """
        done: list[T] = []
        start = 0
        while start < total:
            part = slice(start, min(total, start + self.size))
            try:
                done.append(work(part))
            except torch.OutOfMemoryError as error:
                # What the failed call held is freed with its frames, once this handler has ended.
                tried = part.stop - part.start
                if tried == 1:
                    raise DeviceMemoryError(
                        f"{self._what}: one row alone does not fit into the device's memory "
                        f"({str(error).strip().partition('. ')[0]}); give it more, or use device = 'cpu'"
                    ) from error
                self.size = tried // 2
                self.notes.append(f"{self._what}: {tried:,} rows at once did not fit on the device; {self.size:,} do.")
            else:
                start = part.stop
                continue
            _free()
        return done


def _free() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
