"""Judgments and hits in, per-query values out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.quality.families import FAMILIES
from retrieval_bench.quality.judged import Float64Array, JudgedRankings
from retrieval_bench.quality.names import QualityMetric, parse
from retrieval_bench.quality.order import Ranking
from retrieval_bench.types import Qrels

_BLOCK_HITS = 1 << 20  # hits looked at together: bounds the temporary memory, and stays near the cache


def evaluate(ranking: Ranking, qrels: Qrels, metrics: Sequence[str]) -> dict[str, Float64Array]:
    """Score the answers to all queries of a split.

    Args:
        ranking: (m, k) answers in the order of trec_eval (``ranked``), without the queries' own documents.
            A cut deeper than k treats every ranking as ending at k, so search as deep as the deepest cut.
        qrels: judgments of the same m queries.
        metrics: names such as ``nDCG@10``, in any case.

    Returns:
        By canonical name (``str(parse(name))``), in the order asked for: (m,) float64 in [0, 1], NaN for a query
        without any judgment.

    Raises:
        UnknownNameError: no such metric.
        UsageError: a bad cut, or ``neighbor_recall``, which is not computed from judgments.
        DataError: ranking and qrels of different numbers of queries, or a judged document twice in one answer.
    """
    rows, parsed = ranking.rows, [parse(name) for name in metrics]
    for metric in parsed:
        if metric.needs_neighbors:
            raise UsageError(f"metric '{metric}' compares with exact neighbors: it cannot be computed from judgments")
    if len(rows) != len(qrels):
        raise DataError(f"hits of shape {rows.shape} do not go with judgments of {len(qrels)} queries")
    values = {str(metric): np.empty(len(rows)) for metric in parsed}
    step = max(1, _BLOCK_HITS // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        stop = min(start + step, len(rows))
        judged = JudgedRankings.of(rows, qrels, start, stop)
        for metric in parsed:
            values[str(metric)][start:stop] = _scored(metric, judged)
    return values


def _scored(metric: QualityMetric, ranking: JudgedRankings) -> Float64Array:
    cut = ranking.gains.shape[1] if metric.cut is None else metric.cut
    return np.where(ranking.judgments > 0, FAMILIES[metric.family](ranking, cut), np.nan)


def mean(values: Float64Array) -> float:
    """Mean over the queries that have a value: NaN (nothing judged) is left out; NaN when none is left.

    Rounded once, so that it does not depend on the order of the queries.
    """
    known = values[~np.isnan(values)]
    return math.fsum(known) / len(known) if len(known) else math.nan
