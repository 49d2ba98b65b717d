"""Hits of two tiers: what was scored, and below it what was only found."""

from __future__ import annotations

import numpy as np

from retrieval_bench.types import FloatArray, Hits, IntArray


def two_tiers(
    k: int, rows: IntArray, scores: FloatArray, others: IntArray, guesses: FloatArray
) -> tuple[IntArray, FloatArray]:
    """The k best: what was scored, by its score; below it what was not, by what is guessed.

    Args:
        k: hits wanted.
        rows: (s,) scored documents.
        scores: (s,) theirs.
        others: (o,) documents that were not scored.
        guesses: (o,) on any scale; they are moved below the least score.

    Returns:
        ``rows`` and ``scores`` (k,), padded with -1 and -inf.
    """
    order = np.lexsort((rows, -scores))[:k]
    rest = np.lexsort((others, -guesses))[: k - len(order)]
    found = np.full(k, -1, np.int64)
    values = np.full(k, -np.inf, np.float32)
    filled = len(order) + len(rest)
    found[:filled] = np.concatenate([rows[order], others[rest]])
    values[: len(order)] = scores[order]
    if len(rest):
        top = guesses[rest[0]]
        values[len(order) : filled] = guesses[rest] - top + np.nextafter(scores.min(), np.float32(-np.inf))
    return found, values


def below(best: Hits, further: IntArray, k: int) -> Hits:
    """Hits, and below them further documents in the order in which they were found.

    Args:
        best: (m, any depth) the upper tier; a query that has none gets no hits.
        further: (m, any depth) rows; those of the upper tier, repeated ones and -1 are passed over.
        k: hits to return, padded where there are fewer.
    """
    rows = np.full((len(best.rows), k), -1, np.int64)
    scores = np.full(rows.shape, -np.inf, np.float32)
    for i, found in enumerate(best.rows >= 0):
        upper = best.rows[i][found]
        rest = further[i][(further[i] >= 0) & ~np.isin(further[i], upper)]
        rest = rest[np.sort(np.unique(rest, return_index=True)[1])]
        if len(upper):
            guesses = -np.arange(len(rest), dtype=np.float32)
            rows[i], scores[i] = two_tiers(k, upper, best.scores[i][found], rest, guesses)
    return Hits(rows=rows, scores=scores)
