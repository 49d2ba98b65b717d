"""Counting pairs scored, by several threads at once, for one scorer and for the whole process."""

from __future__ import annotations

import threading


class Calls:
    """Pairs scored by one scorer. A scorer that counts with this is counted by the harness, too."""

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
        if self is not _PROCESS:
            _PROCESS.add(count)


_PROCESS = Calls()


def calls_of_process() -> int:
    """Pairs scored so far by all scorers of this process: what a ranker cannot leave out of its own account."""
    return _PROCESS.total
