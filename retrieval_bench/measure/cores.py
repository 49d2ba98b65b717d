"""Which processors a process may use, and how many it does use: a limit on threads is a limit on both."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Self

import psutil


def open_processors() -> frozenset[int]:
    """Processors on which any thread of this process or of its descendants may run; empty where it cannot be told."""
    if not hasattr(os, "sched_getaffinity"):
        return frozenset()
    found: set[int] = set()
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error, OSError):  # it has just ended
            for thread in process.threads():
                found |= os.sched_getaffinity(thread.id)
    return frozenset(found)


class CoresWatch:
    """Context manager: processor seconds per second of wall time of this process while inside, as ``used``."""

    used = 0.0

    def __enter__(self) -> Self:
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.used = (time.process_time() - self._cpu) / max(time.perf_counter() - self._wall, 1e-9)


def breach_of_threads(allowed: int, used: float) -> str:
    """Why a system that may use ``allowed`` threads used more; empty where it did not.

    A process is pinned to as many processors as it has threads, so that it can use more only by undoing that.
    """
    processors = open_processors()
    if len(processors) > allowed:
        return f"its threads may run on {len(processors)} processors, {allowed} are allowed (threads)"
    if used > allowed + 0.25:
        return f"it used {used:.2f} processors, {allowed} are allowed (threads)"
    return ""
