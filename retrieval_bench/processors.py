"""Which processors this process may use, and which of them are one physical core."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

_CPUS, _CGROUP = Path("/sys/devices/system/cpu"), Path("/sys/fs/cgroup")


def usable_processors() -> list[int]:
    """Numbers of the processors that this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def one_per_core_first(processors: Iterable[int], *, cpus: Path = _CPUS) -> list[int]:
    """The processors in the order to take them: one of each physical core, then the second of each, and so on.

    Two of one core share its arithmetic units: threads on them are slower than on two cores. Where the system does not
    tell which belong together, each counts as a core.

    Args:
        processors: numbers.
        cpus: where the system describes them.
    """
    taken: dict[frozenset[int], int] = {}
    order: list[tuple[int, int]] = []
    for number in sorted(processors):
        core = _siblings(number, cpus)
        order.append((taken.setdefault(core, 0), number))
        taken[core] += 1
    return [number for _, number in sorted(order)]


def usable_cores(*, cpus: Path = _CPUS, cgroup: Path = _CGROUP) -> int:
    """Physical cores that this process may use, or fewer where its control group is given the time of fewer."""
    found = {_siblings(number, cpus) for number in usable_processors()}
    return math.ceil(min(len(found), _quota(cgroup)))


def _siblings(number: int, cpus: Path) -> frozenset[int]:
    """The processors of the core that this one is of."""
    try:
        text = (cpus / f"cpu{number}" / "topology" / "thread_siblings_list").read_text(encoding="ascii").strip()
        ends = [part.split("-") for part in text.split(",")]
        return frozenset(n for first, *last in ends for n in range(int(first), int(*last or [first]) + 1)) | {number}
    except (OSError, ValueError):
        return frozenset({number})


def _quota(cgroup: Path) -> float:
    """Processors' worth of time that the control group may use; infinite where nothing limits it."""
    try:
        limit, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
        return math.inf if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:  # version 1
        one, other = (
            (cgroup / "cpu" / f"cpu.cfs_{part}_us").read_text(encoding="ascii") for part in ("quota", "period")
        )
        return int(one) / int(other) if int(one) > 0 else math.inf
    except (OSError, ValueError):
        return math.inf
