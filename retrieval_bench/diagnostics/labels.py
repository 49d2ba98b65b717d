"""Whether vectors agree with judgments, and how many of their dimensions the judgments speak of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrieval_bench.diagnostics.difficulty import Float64Array, rank_me
from retrieval_bench.errors import UsageError
from retrieval_bench.statistics import mean_interval
from retrieval_bench.types import FloatArray, Metric, Qrels

_DRAWN = 100  # random documents that each query compares its relevant ones with


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How vectors agree with judgments.

    Attributes:
        share: of (query, relevant document, random document) triples whose relevant document scores higher, ties
            counting half and every query the same: the area under the ROC curve. 0.5 is chance.
        interval: its 95 % interval over queries.
        rank: effective rank of the cross-covariance of queries with their relevant documents.
        most: that this rank could be with so many queries and dimensions.
        queries: with a relevant document in the corpus.
        pairs: of these with their relevant documents.
    """

    share: float
    interval: tuple[float, float]
    rank: float
    most: int
    queries: int
    pairs: int


def label_agreement(
    queries: FloatArray, corpus: FloatArray, qrels: Qrels, *, metric: Metric = "ip", seed: int = 0
) -> Agreement | None:
    """Set vectors against judgments of which documents belong to which queries.

    RankMe (Garrido et al. 2023) takes every direction that varies for useful. Here it is taken of the cross-covariance,
    the sum over relevant pairs of (q - mean) (d - mean)^T: a direction counts as far as queries and their relevant
    documents vary along it together. Judgments without any relation to the vectors give a rank too, by chance: it is
    to be read with ``share``.

    Args:
        queries: (m, d).
        corpus: (n, d).
        qrels: of the same m queries.
        metric: ``ip`` or ``l2``, as prepared data has it: vectors compared by ``cos`` are normalised beforehand.
        seed: of the random documents.

    Returns:
        None where fewer than two queries have a relevant document in the corpus.

    Raises:
        UsageError: queries and qrels of different numbers.
    """
    if len(queries) != len(qrels):
        raise UsageError(f"{len(queries)} queries and judgments of {len(qrels)} do not go together")
    rng = np.random.default_rng(seed)
    n = len(corpus)
    shares, counts = np.full(len(queries), np.nan), np.zeros(len(queries))
    sums = np.zeros(queries.shape, np.float64)
    for i, query in enumerate(queries.astype(np.float64)):
        judged = slice(qrels.offsets[i], qrels.offsets[i + 1])
        rows = qrels.rows[judged][qrels.grades[judged] > 0]
        rows = rows[rows < n]
        if not len(rows):
            continue
        counts[i], sums[i] = len(rows), corpus[rows].sum(axis=0, dtype=np.float64)
        drawn = rng.integers(n, size=_DRAWN)
        drawn = drawn[~np.isin(drawn, rows)]
        if len(drawn):
            better = _scores(query, corpus[rows], metric)[:, None] - _scores(query, corpus[drawn], metric)[None, :]
            shares[i] = (np.sign(better) / 2 + 0.5).mean()
    pairs, judged_queries = int(counts.sum()), int((counts > 0).sum())
    if judged_queries < 2:
        return None
    centred = queries - counts @ queries / pairs  # one side is enough: the other's mean meets a sum of 0
    known = shares[~np.isnan(shares)]
    return Agreement(
        share=float(known.mean()) if len(known) else float("nan"), interval=mean_interval(known, seed=seed),
        rank=rank_me(centred.T @ sums), most=min(queries.shape[1], judged_queries - 1),
        queries=judged_queries, pairs=pairs,
    )  # fmt: skip


def _scores(query: Float64Array, documents: FloatArray, metric: Metric) -> Float64Array:
    """(k,) scores, higher is better, of one query (d,) and documents (k, d)."""
    found: Float64Array = -((documents - query) ** 2).sum(axis=1) if metric == "l2" else documents @ query
    return found
