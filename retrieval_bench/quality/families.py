"""One function per metric: the judged rankings of m queries and a cut in, (m,) float64 values out.

Definitions are those of trec_eval 9; ``judged`` has the one of ir_measures.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from retrieval_bench.quality.judged import BoolArray, Float64Array, JudgedRankings, discounts

Score = Callable[[JudgedRankings, int], Float64Array]


def _share(part: Float64Array, whole: Float64Array) -> Float64Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _in_order(terms: Float64Array) -> Float64Array:
    """Sums of rows from left to right, as trec_eval adds: zeros behind, of a wider array, change no digit."""
    return terms.cumsum(axis=1)[:, -1] if terms.shape[1] else np.zeros(len(terms))


def _count(marks: BoolArray) -> Float64Array:
    return np.asarray(marks.sum(axis=1), np.float64)


def _found(ranking: JudgedRankings, cut: int) -> Float64Array:
    return _count(ranking.relevant[:, :cut])


def _ndcg(ranking: JudgedRankings, cut: int) -> Float64Array:
    gains = ranking.gains[:, :cut]
    return _share(_in_order(gains * discounts(gains.shape[1])), ranking.ideal_dcg(cut))


def _recall(ranking: JudgedRankings, cut: int) -> Float64Array:
    return _share(_found(ranking, cut), ranking.relevant_total)


def _reciprocal_rank(ranking: JudgedRankings, cut: int) -> Float64Array:
    relevant = ranking.relevant[:, :cut]
    return np.asarray((relevant / np.arange(1, relevant.shape[1] + 1)).max(axis=1, initial=0.0))


def _average_precision(ranking: JudgedRankings, cut: int) -> Float64Array:
    relevant = ranking.relevant[:, :cut]
    precision = relevant.cumsum(axis=1) / np.arange(1, relevant.shape[1] + 1)
    return _share(_in_order(precision * relevant), ranking.relevant_total)


def _precision(ranking: JudgedRankings, cut: int) -> Float64Array:
    return _found(ranking, cut) / cut


def _success(ranking: JudgedRankings, cut: int) -> Float64Array:
    return (_found(ranking, cut) > 0).astype(np.float64)


def _judged(ranking: JudgedRankings, cut: int) -> Float64Array:
    return _share(_count(ranking.judged[:, :cut]), _count(ranking.returned[:, :cut]))


FAMILIES: dict[str, Score] = {
    "nDCG": _ndcg,
    "recall": _recall,
    "MRR": _reciprocal_rank,
    "MAP": _average_precision,
    "P": _precision,
    "success": _success,
    "judged": _judged,
}
WITHOUT_CUT = frozenset({"MRR", "MAP"})
"""Families whose name may stand without ``@k``; the cut is then the length of the ranking."""
