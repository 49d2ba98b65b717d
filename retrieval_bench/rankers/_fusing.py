"""The arithmetic of fusion: scores of several rankings brought to one scale, weighted and summed by document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.hits import make_hits
from retrieval_bench.quality import evaluate, ranked
from retrieval_bench.types import Corpus, Hits, IntArray, Qrels

_STEPS = 20  # weights are learned to a twentieth
_METRIC = "nDCG@10"


def summed(rows: Sequence[IntArray], gains: Sequence[npt.NDArray[np.floating[Any]]], k: int) -> Hits:
    """The k documents with the greatest sum of gains for each of m queries.

    Args:
        rows: of each ranking (m, any depth), -1 where padded.
        gains: of each ranking, in the same shape; what stands beside padding counts nothing.
        k: hits to return, padded where all rankings together have fewer.
    """
    m = len(rows[0])
    found, gained = np.concatenate(rows, axis=1), np.concatenate(gains, axis=1)
    query, place = np.nonzero(found >= 0)
    # One number per (query, document), so that one pass over all queries sums the gains of each document.
    n = int(found.max(initial=0)) + 1
    pairs, inverse = np.unique(query * n + found[query, place], return_inverse=True)
    total = np.bincount(inverse, gained[query, place], len(pairs)).astype(np.float32)
    query, row = np.divmod(pairs, n)
    order = np.lexsort((row, -total, query))
    query, row, total = query[order], row[order], total[order]
    rank = np.arange(len(query)) - np.searchsorted(query, query)  # from the first pair of the same query
    kept = rank < k
    fused_rows = np.full((m, k), -1, np.int64)
    fused_scores = np.full((m, k), -np.inf, np.float32)
    fused_rows[query[kept], rank[kept]] = row[kept]
    fused_scores[query[kept], rank[kept]] = total[kept]
    return make_hits(fused_rows, fused_scores)


def scaled(hits: Hits) -> Hits:
    """The same hits with scores from 0 (the last of a query) to 1 (its first), 1 where all are equal."""
    found = hits.rows >= 0
    scores = np.where(found, hits.scores, 0)
    last = np.maximum(found.sum(axis=1, keepdims=True) - 1, 0)
    highest, lowest = scores[:, :1], np.take_along_axis(scores, last, axis=1)
    equal = highest == lowest
    values = np.where(equal, 1, (scores - lowest) / np.where(equal, 1, highest - lowest))
    return Hits(rows=hits.rows, scores=np.where(found, values, -np.inf).astype(np.float32))


def weighted(rankings: Sequence[Hits], weights: Sequence[float], k: int) -> Hits:
    """The k documents with the greatest weighted sum of scaled scores; a ranking that lacks a document gives it 0.

    What only rankings of weight 0 have is no hit; some weight must be above 0.
    """
    counted = [(hits, w) for hits, w in zip(rankings, weights, strict=True) if w > 0]
    gains = [np.where(hits.rows >= 0, hits.scores, 0) * w for hits, w in counted]
    return summed([hits.rows for hits, _ in counted], gains, k)


def learned_weights(rankings: Sequence[Hits], qrels: Qrels, corpus: Corpus) -> tuple[float, ...]:
    """Weights, none below 0 and 1 in sum, that give the best mean nDCG@10.

    One ranking after the other gets each share of the whole from 0 to 1 while the others keep their proportions, until
    no share helps; with two rankings this tries every share. Of equal results the one nearest to equal weights wins.

    Args:
        rankings: scaled hits of the same m queries.
        qrels: of those queries.
        corpus: that was searched.
    """
    parts = len(rankings)
    best = np.full(parts, 1 / parts)
    quality = _quality(rankings, best, qrels, corpus)
    improved = parts > 1
    while improved:
        improved = False
        for part in range(parts):
            others = np.where(np.arange(parts) == part, 0, best)
            rest = others / others.sum() if others.sum() else np.where(np.arange(parts) == part, 0, 1 / (parts - 1))
            for share in sorted(np.arange(_STEPS + 1) / _STEPS, key=lambda s: abs(s - 1 / parts)):
                tried = rest * (1 - share)
                tried[part] = share
                reached = _quality(rankings, tried, qrels, corpus)
                if reached > quality:
                    best, quality, improved = tried, reached, True
    return tuple(round(float(weight), 6) for weight in best)


def _quality(rankings: Sequence[Hits], weights: npt.NDArray[np.float64], qrels: Qrels, corpus: Corpus) -> float:
    fused = weighted(rankings, [float(w) for w in weights], 10)
    return float(np.nanmean(evaluate(ranked(fused, corpus), qrels, [_METRIC])[_METRIC]))
