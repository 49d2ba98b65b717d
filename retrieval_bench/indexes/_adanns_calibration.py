"""What each search setting costs and finds, measured once at the build, so that a budget can choose one later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from retrieval_bench.errors import UsageError
from retrieval_bench.indexes._adanns_rank import best
from retrieval_bench.types import FloatArray, Frozen, Hits, IntArray, Metric, Params, Queries, RowIds

K = 10
_QUERIES = 64
_TIMED = 15  # of them, asked one by one
MOST_ROWS = 32
ROW_BYTES = 64
CALIBRATION_BYTES = MOST_ROWS * ROW_BYTES

Search = Callable[[Queries, int, Any], Hits]


class Cost(Frozen):
    """Bytes that a query reads on average: ``fixed + k * per_hit``."""

    fixed: float
    per_hit: float

    def bytes_read(self, k: int) -> float:
        """Bytes read to answer for k hits."""
        return self.fixed + k * self.per_hit


class Calibrated(Frozen):
    """One setting that no other beats in both bytes and recall.

    Attributes:
        setting: search parameters by name.
        cost: bytes read.
        recall: neighbor recall at 10 on the calibration queries.
        milliseconds: median time of one query alone, by one thread, on the machine of the build.
    """

    setting: dict[str, int]
    cost: Cost
    recall: float
    milliseconds: float


class Calibration(Frozen):
    """The settings in ascending order of bytes and of recall."""

    rows: tuple[Calibrated, ...] = Field(min_length=1)

    @property
    def nbytes(self) -> int:
        """Analytic bytes: eight numbers a row."""
        return ROW_BYTES * len(self.rows)

    def choose(self, k: int, *, bytes_read: int | None, latency_ms: float | None) -> dict[str, int]:
        """The setting of highest recall that keeps both limits.

        Raises:
            UsageError: none does; says what the cheapest needs.
        """
        fitting = [
            row
            for row in self.rows
            if (bytes_read is None or row.cost.bytes_read(k) <= bytes_read)
            and (latency_ms is None or row.milliseconds <= latency_ms)
        ]
        if not fitting:
            least = min(row.cost.bytes_read(k) for row in self.rows)
            quickest = min(row.milliseconds for row in self.rows)
            raise UsageError(
                f"no calibrated setting keeps bytes_read = {bytes_read}, latency_ms = {latency_ms}: "
                f"for k = {k} at least {least:.0f} bytes and {quickest:.3g} ms are needed"
            )
        return max(fitting, key=lambda row: row.recall).setting


def calibration_queries(vectors: FloatArray, queries: Queries | None, seed: int) -> tuple[Queries, IntArray]:
    """Up to 64 of the training queries or, without any, of the corpus; and which corpus row (m,) each is, or -1."""
    given = None if queries is None else queries.require_vectors()
    source = vectors if given is None else given
    rows = np.random.default_rng(seed).permutation(len(source))[:_QUERIES]
    own = rows if given is None else np.full(len(rows), -1)
    return Queries(ids=RowIds(len(rows)), vectors=np.ascontiguousarray(source[rows])), own


def calibrate(
    search: Search,
    cost: Callable[[Queries, Any], Cost],
    settings: Iterable[Mapping[str, int]],
    params: type[Params],
    *,
    queries: Queries,
    own: IntArray,
    exact: FloatArray,
) -> Calibration:
    """Try the settings and keep those that no other beats.

    Args:
        search: answers queries at a setting.
        cost: bytes read at a setting.
        settings: search parameters to try.
        params: the model of search parameters.
        queries: m calibration queries.
        own: (m,) corpus row of each query, never counted, or -1.
        exact: (m, n) exact scores.
    """
    k = min(K + bool((own >= 0).any()), exact.shape[1])  # one more for the query's own row
    truth = _without(best(exact, k), own)
    tried = []
    for setting in settings:
        wanted = params(**setting)
        found = _without(search(queries, k, wanted).rows, own)
        hits = [len(set(a) & set(b) - {-1}) for a, b in zip(truth, found, strict=True)]
        recall = float(np.mean(hits / np.maximum((truth >= 0).sum(axis=1), 1)))
        tried.append((dict(setting), cost(queries, wanted), recall))
    rows = [
        Calibrated(
            setting=setting,
            cost=spent,
            recall=recall,
            milliseconds=_milliseconds(search, queries, params(**setting), k),
        )
        for setting, spent, recall in _frontier(tried)
    ]
    return Calibration(rows=tuple(rows))


def _without(rows: IntArray, own: IntArray) -> IntArray:
    return np.where(rows == own[:, None], -1, rows)


def _frontier(tried: Sequence[tuple[dict[str, int], Cost, float]]) -> list[tuple[dict[str, int], Cost, float]]:
    """Those that find more than all that read less; thinned to MOST_ROWS, evenly, the ends kept."""
    kept: list[tuple[dict[str, int], Cost, float]] = []
    for row in sorted(tried, key=lambda row: (row[1].bytes_read(K), -row[2])):
        if not kept or row[2] > kept[-1][2]:
            kept.append(row)
    if len(kept) > MOST_ROWS:
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, MOST_ROWS).round().astype(int)]
    return kept


def _milliseconds(search: Search, queries: Queries, params: Params, k: int) -> float:
    spent = []
    for i in range(min(_TIMED, len(queries))):
        one = queries.take(slice(i, i + 1))
        start = time.perf_counter_ns()
        search(one, k, params)
        spent.append(time.perf_counter_ns() - start)
    return float(np.median(spent)) / 1e6


def exact_scores(asked: FloatArray, documents: FloatArray, metric: Metric) -> FloatArray:
    """(m, n) scores of nested queries (m, d) and documents (n, d), up to a term of each query."""
    scores = asked @ documents.T
    if metric == "l2":
        scores -= 0.5 * np.einsum("nd,nd->n", documents, documents)
    return scores
