"""What else the machine did while something was timed: a figure from a busy machine must say so.

Read before and after, never meanwhile. Counters of the system tick a hundred times a second, so that shares of a
shorter time than LEAST are not told.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from time import perf_counter
from typing import NamedTuple, Self

import psutil

from retrieval_bench.processors import usable_processors
from retrieval_bench.types import Contention

LEAST = 0.25  # seconds
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100  # of the system's counters, in a second
_PROC, _CPUS, _CGROUP = Path("/proc"), Path("/sys/devices/system/cpu"), Path("/sys/fs/cgroup")


class _Counters(NamedTuple):
    """Seconds since some moment, but for the number of involuntary context switches; None where they cannot be read."""

    wall: float
    used: float | None
    stolen: float | None
    ours: float
    switches: int
    throttled: float | None


class ContentionWatch:
    """Context manager: what others did meanwhile on the processors that something is timed on, as ``found``.

    Args:
        processors: their numbers; None is those that this process may use.
        proc: where the system tells of its processors.
        cgroup: where it tells of the control group.
    """

    found: Contention

    def __init__(
        self, processors: Collection[int] | None = None, *, proc: Path = _PROC, cgroup: Path = _CGROUP
    ) -> None:
        self._processors = frozenset(usable_processors() if processors is None else processors)
        self._proc, self._cgroup = proc, cgroup

    def __enter__(self) -> Self:
        self._before = self._read()
        return self

    def __exit__(self, *_: object) -> None:
        self.found = _between(self._before, self._read(), self._processors)

    def _read(self) -> _Counters:
        used, stolen = _of_processors(self._proc / "stat", self._processors)
        ours, switches = _ours()
        return _Counters(perf_counter(), used, stolen, ours, switches, _throttled(self._cgroup))


def _between(before: _Counters, after: _Counters, processors: frozenset[int]) -> Contention:
    wall = max(after.wall - before.wall, 1e-9)
    whole = wall * max(1, len(processors))
    told = wall >= LEAST

    def grown(name: str) -> float | None:
        first, last = getattr(before, name), getattr(after, name)
        return None if first is None or last is None else max(0.0, last - first)

    used, stolen, throttled = grown("used"), grown("stolen"), grown("throttled")
    others = None if used is None else used - (after.ours - before.ours)
    return Contention(
        seconds=wall,
        others=_share(others, whole) if told else None,
        stolen=_share(stolen, whole) if told else None,
        switches=max(0, after.switches - before.switches) / wall,
        throttled=throttled,
        mhz=_mhz(processors),
    )


def _share(seconds: float | None, whole: float) -> float | None:
    return None if seconds is None else round(min(1.0, max(0.0, seconds / whole)), 4)


def _of_processors(stat: Path, processors: frozenset[int]) -> tuple[float | None, float | None]:
    """Seconds that these processors worked, and that a hypervisor gave to others; None where it is not told."""
    try:
        lines = [line.split() for line in stat.read_text(encoding="ascii").splitlines() if line.startswith("cpu")]
        ticks = {line[0]: [int(value) for value in line[1:]] for line in lines}
        ours = [ticks[f"cpu{number}"] for number in processors]
        # user (which holds the guests' time), nice, system, idle, waiting for a disk, interrupts (two), stolen
        used = sum(sum(each[:3]) + sum(each[5:7]) for each in ours)
        return used / _TICKS, sum(each[7] for each in ours) / _TICKS
    except (OSError, ValueError, KeyError, IndexError):
        return None, None


def _ours() -> tuple[float, int]:
    """Processor seconds of this process and of all that it started, and its own involuntary context switches."""
    me = psutil.Process()
    seconds = 0.0
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.Error, OSError):  # it has just ended, and is counted with its parent's children
            seconds += sum(process.cpu_times()[:4])
    return seconds, int(me.num_ctx_switches().involuntary)


def _throttled(cgroup: Path) -> float | None:
    """Seconds that the control group was held back for having used up its share of the processors."""
    for path, name, unit in (
        (cgroup / "cpu.stat", "throttled_usec", 1e6),
        (cgroup / "cpu" / "cpu.stat", "throttled_time", 1e9),
    ):
        with contextlib.suppress(OSError, ValueError):
            for line in path.read_text(encoding="ascii").splitlines():
                if line.startswith(f"{name} "):
                    return int(line.split()[1]) / unit
    return None


def _mhz(processors: frozenset[int]) -> float | None:
    """Clock rate of the slowest of these processors now; None where it cannot be read, as in most virtual machines."""
    found = []
    for number in processors:
        with contextlib.suppress(OSError, ValueError):
            path = _CPUS / f"cpu{number}" / "cpufreq" / "scaling_cur_freq"
            found.append(int(path.read_text(encoding="ascii")) / 1e3)
    return min(found, default=None)
