"""Counting that several threads may do at once."""

from __future__ import annotations

import threading


class Calls:
    """A number that only grows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = 0

    @property
    def total(self) -> int:
        """All that was added."""
        return self._total

    def add(self, count: int) -> None:
        """Count some more."""
        with self._lock:
            self._total += count
