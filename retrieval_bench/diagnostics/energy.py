"""Energy per query: what the machine takes while a system answers, in all and above what it takes when idle."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retrieval_bench.measure.energy import Meter, joules


@dataclass(frozen=True, kw_only=True)
class PerQuery:
    """Of one counter.

    Attributes:
        counter: its name.
        joules: per query.
        above_idle: the same without what the idle machine would have taken in that time; below 0 where the difference
            is within the noise.
    """

    counter: str
    joules: float
    above_idle: float


def energy_per_query(answer: Callable[[], int], counters: Sequence[Meter], *, seconds: float = 5.0) -> list[PerQuery]:
    """Read counters while a system answers, and while nothing is done.

    Both are set against the time that really passed, since the last answers end after the time asked for.

    Args:
        answer: has queries answered and says how many.
        counters: one or more.
        seconds: to measure, and as many of idling.
    """
    answered: list[int] = []
    idle = joules(lambda: time.sleep(seconds), list(counters), seconds=0)
    busy = joules(lambda: answered.append(answer()), list(counters), seconds=seconds)
    queries, longer = sum(answered), busy.seconds / idle.seconds
    return [
        PerQuery(counter=name, joules=used / queries, above_idle=(used - idle.joules[name] * longer) / queries)
        for name, used in busy.joules.items()
    ]
