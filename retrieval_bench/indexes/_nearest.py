"""The best so far of scores that come block by block."""

from __future__ import annotations

import numpy as np

from retrieval_bench.types import FloatArray, IntArray


class Nearest:
    """The k best rows for each of m queries, in no order.

    Attributes:
        rows: (m, k) int64, -1 where there is none yet.
        scores: (m, k) float32, -inf there.
    """

    def __init__(self, m: int, k: int) -> None:
        self.rows: IntArray = np.full((m, k), -1, np.int64)
        self.scores: FloatArray = np.full((m, k), -np.inf, np.float32)

    def add(self, who: slice | IntArray, scores: FloatArray, first: int) -> None:
        """Take in a block.

        Args:
            who: the queries it was scored for.
            scores: (len(who), b) float32.
            first: row of the first column; the others follow it.
        """
        k = self.rows.shape[1]
        best = _largest(scores, k)
        all_scores = np.concatenate([self.scores[who], np.take_along_axis(scores, best, axis=1)], axis=1)
        all_rows = np.concatenate([self.rows[who], best + first], axis=1)
        kept = _largest(all_scores, k)
        self.scores[who] = np.take_along_axis(all_scores, kept, axis=1)
        self.rows[who] = np.take_along_axis(all_rows, kept, axis=1)

    def put(self, query: int, rows: IntArray, scores: FloatArray) -> None:
        """Take in candidates of one query that has none yet: (c,) rows and scores."""
        kept = _largest(scores[None], self.rows.shape[1])[0]
        self.rows[query, : len(kept)], self.scores[query, : len(kept)] = rows[kept], scores[kept]


def _largest(scores: FloatArray, k: int) -> IntArray:
    """(m, min(k, b)) columns of the largest of (m, b) scores."""
    b = scores.shape[1]
    if k >= b:
        return np.broadcast_to(np.arange(b), scores.shape)
    return np.asarray(np.argpartition(scores, b - k, axis=1)[:, b - k :], np.int64)
