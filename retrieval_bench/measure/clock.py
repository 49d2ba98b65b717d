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
from threadpoolctl import threadpool_limits

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics import enough

T = TypeVar("T")
Q = TypeVar("Q")


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure one search setting.

    Attributes:
        target: stop repeating batches when the median's 95 % interval is within this share of the median.
        minimum: least number of timed batches.
        seconds: most time for the batches, and again for the single queries; the minimum is always done.
        concurrent_seconds: time for each number of clients.

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


def concurrent(call: Callable[[Q], object], queries: Sequence[Q], clients: int, effort: Effort) -> float:
    """Queries per second of ``clients`` threads that each ask one query at a time, each with one engine thread.

    A client's error is raised here. Client c starts at a different query, so that clients do not share a cache line.
    """
    counts = [0] * clients
    errors: list[BaseException] = []
    gate = threading.Barrier(clients + 1)
    stop = threading.Event()

    def client(number: int) -> None:
        try:
            position = number * len(queries) // clients
            with threadpool_limits(limits=1):
                call(queries[position])
                gate.wait()
                while not stop.is_set():
                    call(queries[position])
                    counts[number] += 1
                    position = (position + 1) % len(queries)
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            errors.append(error)
            gate.abort()

    threads = [threading.Thread(target=client, args=(c,), daemon=True) for c in range(clients)]
    # BLAS libraries keep one limit for the process: set here too, so that no client restores another client's.
    with threadpool_limits(limits=1):
        for thread in threads:
            thread.start()
        start = perf_counter_ns()
        try:
            gate.wait()
            start = perf_counter_ns()
            stop.wait(effort.concurrent_seconds)
        except threading.BrokenBarrierError:
            pass  # a client failed: its error is raised below
        stop.set()
        for thread in threads:
            thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return sum(counts) / ((perf_counter_ns() - start) / 1e9)
