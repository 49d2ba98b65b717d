"""Judgments and hits in, per-query values out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.quality.families import FAMILIES
from retrieval_bench.quality.judged import Float64Array, JudgedRankings
from retrieval_bench.quality.names import QualityMetric, parse
from retrieval_bench.types import Hits, IntArray, Qrels

_BLOCK_HITS = 1 << 20  # hits looked at together: bounds the temporary memory, and stays near the cache


def evaluate(rows: IntArray, qrels: Qrels, metrics: Sequence[str]) -> dict[str, Float64Array]:
    """Score the answers to all queries of a split.

    Args:
        rows: (m, k) int64 corpus rows, best first, -1 where padded (``Hits.rows``, without the queries' own documents).
            A cut deeper than k treats every ranking as ending at k, so search as deep as the deepest cut.
        qrels: judgments of the same m queries.
        metrics: names such as ``nDCG@10``, in any case.

    Returns:
        By canonical name (``str(parse(name))``), in the order asked for: (m,) float64 in [0, 1], NaN for a query
        without any judgment.

    Raises:
        UnknownNameError: no such metric.
        UsageError: a bad cut, or ``neighbor_recall``, which is not computed from judgments.
        DataError: rows and qrels of different numbers of queries, or a judged document twice in one answer.
    """
    parsed = [parse(name) for name in metrics]
    for metric in parsed:
        if metric.needs_neighbors:
            raise UsageError(f"metric '{metric}' compares with exact neighbors: it cannot be computed from judgments")
    if rows.ndim != 2 or len(rows) != len(qrels):
        raise DataError(f"hits of shape {rows.shape} do not go with judgments of {len(qrels)} queries")
    values = {str(metric): np.empty(len(rows)) for metric in parsed}
    step = max(1, _BLOCK_HITS // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        ranking = JudgedRankings.of(rows, qrels, start, stop)
        for metric in parsed:
            values[str(metric)][start:stop] = _scored(metric, ranking)
    return values


def _scored(metric: QualityMetric, ranking: JudgedRankings) -> Float64Array:
    cut = ranking.gains.shape[1] if metric.cut is None else metric.cut
    return np.where(ranking.judgments > 0, FAMILIES[metric.family](ranking, cut), np.nan)


def mean(values: Float64Array) -> float:
    """Mean over the queries that have a value: NaN (nothing judged) is left out; NaN when none is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def is_own(rows: IntArray, own_rows: IntArray | None) -> npt.NDArray[np.bool_]:
    """(m, k) bool: which rows of the answers to m queries are the query's own document (``Queries.own_rows``).

    Raises:
        DataError: not one own row per query.
    """
    if own_rows is None:
        return np.zeros(rows.shape, bool)
    if own_rows.shape != (len(rows),):
        raise DataError(f"own rows of shape {own_rows.shape} do not go with the answers to {len(rows)} queries")
    own: npt.NDArray[np.bool_] = (rows == own_rows[:, None]) & (own_rows >= 0)[:, None]
    return own


def without_own(hits: Hits, own_rows: IntArray | None, k: int) -> Hits:
    """The best k hits of each answer after the query's own document is taken out (sets such as ArguAna).

    What reports, chooses or learns looks at answers through this, so that no document is judged as its own answer.

    Args:
        hits: answers of which k + 1 hits were asked for, so that k remain.
        own_rows: (m,) int64 row to take out, -1 where there is none (``Queries.own_rows``); None takes out nothing.
        k: how many to keep.

    Returns:
        Hits of shape (m, min(k, depth of hits)), padded at the end; views of ``hits`` when nothing is taken out.

    Raises:
        DataError: not one own row per query.
    """
    if own_rows is None:
        return hits.first(k)
    own = is_own(hits.rows, own_rows)
    affected = own.any(axis=1)
    order = np.argsort(own[affected], axis=1, kind="stable")  # False sorts first: the own document moves to the end
    rows, scores = hits.rows[:, :k].copy(), hits.scores[:, :k].copy()
    for kept, values, padding in ((rows, hits.rows, -1), (scores, hits.scores, -np.inf)):
        rest = np.where(own[affected], padding, values[affected])
        kept[affected] = np.take_along_axis(rest, order, axis=1)[:, :k]
    return Hits(rows=rows, scores=scores)
