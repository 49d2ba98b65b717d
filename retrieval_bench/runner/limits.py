"""What a job may take, and the clock that is held against it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from retrieval_bench.runner.job import Phase
from retrieval_bench.types import Outcome

WALL_SECONDS = 1800.0  # most of one process, where nothing else is said


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to end the process. None means never."""

    wall_seconds: float
    build_seconds: float | None = None
    peak_bytes: int | None = None


class Watch:
    """Since when a job, or one answer of it, is waited for, and whether that has broken a limit.

    Attributes:
        phases: seconds of the phases that were finished.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self._start = limits, time.perf_counter()
        self._since: dict[str, float] = {}
        self.phases: dict[str, float] = {}

    @property
    def seconds(self) -> float:
        """Since it was begun."""
        return time.perf_counter() - self._start

    def follow(self, event: Phase) -> None:
        """Take in that a phase began or ended, by the clock of this side."""
        if event.state == "start":
            self._since[event.phase] = time.perf_counter()
        elif event.phase in self._since:
            took = time.perf_counter() - self._since.pop(event.phase)
            self.phases[event.phase] = self.phases.get(event.phase, 0.0) + took

    def breach(self, private_bytes: Callable[[], int]) -> tuple[Outcome, str] | None:
        """Outcome and reason where a limit is broken."""
        limits, building = self._limits, self._since.get("build")
        if self.seconds > limits.wall_seconds:
            return "timed_out", f"not finished after {limits.wall_seconds:g} s"
        if limits.build_seconds and building and time.perf_counter() - building > limits.build_seconds:
            return "over_budget", f"the build took more than {limits.build_seconds:g} s (build_seconds)"
        if limits.peak_bytes and (used := private_bytes()) > limits.peak_bytes:
            return "over_budget", f"private memory reached {used:,} of {limits.peak_bytes:,} bytes (peak_bytes)"
        return None
