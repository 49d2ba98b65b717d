"""Time by ``perf_counter_ns`` around one call: repeated batches, single queries, concurrent clients.

Inputs are prepared before the timed call and every mode warms up first. Device work must be finished when the
call returns (backends synchronise inside ``search``, since they hand back host arrays).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import perf_counter_ns
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics import enough
from retrieval_bench.threads import limited

STRETCHES = 8  # of the time of concurrent clients: samples, of which six give an interval of 95 %
T = TypeVar("T")
Q = TypeVar("Q")


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure one search setting.

    Attributes:
        target: stop repeating batches when the median's 95 % interval is within this share of the median.
        minimum: least number of timed batches.
        seconds: most time for the batches, and again for the single queries; the minimum is always done.
        concurrent_seconds: time for each number of clients, in STRETCHES that are a sample each.

    Raises:
        UsageError: a time is negative or no number.
    """

    target: float = 0.05
    minimum: int = 3
    seconds: float = 3.0
    concurrent_seconds: float = 0.5

    def __post_init__(self) -> None:
        for seconds in (self.seconds, self.concurrent_seconds):
            if not seconds >= 0:  # which no comparison with NaN is
                raise UsageError(f"measuring for {seconds:g} seconds (--measure-seconds): give 0 or more")


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """The call's result and its wall time in seconds."""
    start = perf_counter_ns()
    result = call()
    elapsed = perf_counter_ns() - start
    return result, elapsed / 1e9


def batches(call: Callable[[], object], effort: Effort) -> list[float]:
    """Seconds of repeated calls of a warm system; stops by the sequential rule of ``statistics.enough``."""
    samples: list[float] = []
    while True:
        samples.append(timed(call)[1])
        if enough(samples, target=effort.target, minimum=effort.minimum):
            return samples
        if len(samples) >= effort.minimum and sum(samples) >= effort.seconds:
            return samples


def portion(queries: int, seconds: float, effort: Effort) -> int:
    """Queries in a timed batch of a system that answered all of them in so many seconds.

    All of them, or, where the least number of batches would take more than twice the time there is, as many as make
    it fit: a slow system's rate does not depend on batches of minutes. At least 100.
    """
    fitting = int(queries * effort.seconds / max(seconds * effort.minimum, 1e-9))
    return queries if 2 * fitting >= queries else min(queries, max(100, fitting))


def singles(
    call: Callable[[Q], object], queries: Sequence[Q], effort: Effort, *, least: int = 10
) -> npt.NDArray[np.float64]:
    """Seconds of each query asked alone, in order, until all are asked or the time is up.

    The first few are asked once more beforehand, untimed, to warm up the one-query path.

    Args:
        call: asks one query.
        queries: what to ask.
        effort: its ``seconds`` are the time.
        least: samples taken in any case, all queries being asked again where there are fewer.
    """
    for query in queries[:5]:
        call(query)
    samples: list[int] = []
    deadline = perf_counter_ns() + int(effort.seconds * 1e9)
    for query in cycle(queries):
        start = perf_counter_ns()
        call(query)
        end = perf_counter_ns()
        samples.append(end - start)
        if len(samples) >= least and (end > deadline or len(samples) >= len(queries)):
            break
    return np.array(samples, np.float64) / 1e9


@dataclass(frozen=True, kw_only=True)
class Concurrent:
    """What clients that asked at the same time got.

    Attributes:
        rates: queries per second of all clients together, one for each stretch of the time.
        fairness: queries of the client that got the fewest, of an even share: 1 where all got as many.
    """

    rates: tuple[float, ...]
    fairness: float


def concurrent(call: Callable[[Q], object], queries: Sequence[Q], clients: int, effort: Effort) -> Concurrent:
    """Let ``clients`` threads ask one query at a time, each with one engine thread, until the time is up.

    A client's error is raised here. Client c starts at a different query, so that clients do not share a cache line.
    """
    ends: list[list[int]] = [[] for _ in range(clients)]
    errors: list[BaseException] = []
    deadline = 0
    stop = threading.Event()

    def begin() -> None:
        nonlocal deadline
        deadline = perf_counter_ns() + int(effort.concurrent_seconds * 1e9)

    gate = threading.Barrier(clients, action=begin)

    def client(number: int) -> None:
        position, mine = number * len(queries) // clients, ends[number]
        try:
            with limited(1):
                call(queries[position])
                gate.wait()
                while not stop.is_set():
                    call(queries[position])
                    mine.append(perf_counter_ns())
                    position = (position + 1) % len(queries)
                    if mine[-1] > deadline and sum(map(len, ends)) > _least(clients):
                        stop.set()
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            errors.append(error)
            stop.set()
            gate.abort()

    threads = [threading.Thread(target=client, args=(c,), daemon=True) for c in range(clients)]
    # BLAS libraries keep one limit for the process: set here too, so that no client restores another client's.
    with limited(1):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return stretched(ends)


def stretched(ends: Sequence[Sequence[int]]) -> Concurrent:
    """Rates over stretches of as many queries each, from when the clients' queries ended.

    A stretch begins and ends with the end of a query, and holds as many as all clients ask in some rounds, so that
    clients that keep in step leave no gap at its ends. The first is the warm-up, left out where there are others.

    Args:
        ends: for each client, ascending nanoseconds; more than ``_least(clients)`` give all STRETCHES.
    """
    every = np.sort(np.concatenate([np.asarray(mine, np.int64) for mine in ends]))
    rounds = max(1, (len(every) - 1) // _least(len(ends)))
    marks = np.arange(0, len(every), rounds * len(ends))[: STRETCHES + 2]
    marks = marks[1:] if len(marks) > 2 else marks
    seconds = np.maximum(np.diff(every[marks]), 1) / 1e9
    counts = [len(mine) for mine in ends]
    return Concurrent(
        rates=tuple(map(float, np.diff(marks) / seconds)), fairness=min(counts) * len(counts) / sum(counts)
    )


def _least(clients: int) -> int:
    """Queries of a round of all clients in every stretch and the warm-up."""
    return clients * (STRETCHES + 1)
