"""The speed of one search setting in its three modes, each with what else the machine did meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from retrieval_bench.measure.clock import batches, concurrent, singles
from retrieval_bench.measure.contention import ContentionWatch
from retrieval_bench.runner import measurements as made
from retrieval_bench.runner.job import BuildPlan
from retrieval_bench.runner.quiet import unquiet_reason
from retrieval_bench.types import Contention, Hits, Measurement, Queries

TRIES = 3  # most measurings of a latency that is over the budget while the machine is not quiet
_SINGLE_QUERIES = 10_000  # most queries asked one by one


class Timing:
    """Times a setting.

    Attributes:
        windows: what else the machine did, by what was timed: ``batch``, ``single`` and ``concurrent``.
        tried: how often single queries were measured.
    """

    def __init__(self, plan: BuildPlan) -> None:
        self._plan = plan
        self.windows: dict[str, Contention] = {}
        self.tried = 0

    def measure(self, call: Callable[[Queries], Hits], asked: Queries, batch: int) -> list[Measurement]:
        """Throughput of batches, latency of single queries, throughput of concurrent clients.

        Args:
            call: a warm system.
            asked: queries.
            batch: how many of them make a batch.
        """
        part = asked.take(np.linspace(0, len(asked) - 1, batch).astype(np.int64))
        ones = [asked.take(slice(i, i + 1)) for i in range(min(len(asked), _SINGLE_QUERIES))]
        with ContentionWatch() as watch:
            found = [made.throughput(batch, batches(lambda: call(part), self._plan.effort))]
        self.windows["batch"] = watch.found
        found += self._latencies(call, ones)
        with ContentionWatch() as watch:
            for clients in _clients(self._plan.threads):
                found += made.concurrency(clients, concurrent(call, ones, clients, self._plan.effort))
        self.windows["concurrent"] = watch.found
        return found

    def _latencies(self, call: Callable[[Queries], Hits], ones: list[Queries]) -> list[Measurement]:
        """Measured again while they break the budget and the machine is not quiet.

        The last measuring counts, for to take the best of several would flatter.
        """
        allowed = self._plan.budget.latency_ms
        budgeted = self._plan.budget.latency_percentile if allowed else 50.0
        least = max(10, made.samples_for(budgeted))
        while True:
            with ContentionWatch() as watch:
                found = made.latencies(singles(call, ones, self._plan.effort, least=least), budgeted=budgeted)
            self.windows["single"] = watch.found
            self.tried += 1
            value = next(m.value for m in found if m.name == made.latency_name(budgeted))
            if allowed is None or value <= allowed or watch.found.quiet or self.tried == TRIES:
                return found

    @property
    def notes(self) -> list[str]:
        """That single queries were measured more than once, where they were."""
        if self.tried <= 1:
            return []
        return [f"single queries were measured {self.tried} times: over latency_ms while the machine was not quiet."]

    @property
    def doubt(self) -> str:
        """What to add to the reason of a setting whose latency is over the budget."""
        return unquiet_reason(self.windows["single"], self.tried)


def _clients(threads: int) -> list[int]:
    """Powers of two up to the number of threads, and that number."""
    return sorted({1 << p for p in range(threads.bit_length()) if 1 << p <= threads} | {threads})
