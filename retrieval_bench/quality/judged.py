"""Rankings seen through the judgments of their queries: what every metric is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError
from retrieval_bench.quality.lookup import locate
from retrieval_bench.types import IntArray, Qrels

BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]


def discounts(n: int) -> Float64Array:
    """``1 / log2(rank + 1)`` of ranks 1 to n (Järvelin and Kekäläinen 2002, in the form of trec_eval)."""
    return 1.0 / np.log2(np.arange(2, n + 2))


@dataclass(frozen=True, kw_only=True)
class JudgedRankings:
    """The answers to m queries with their judgments.

    Attributes:
        returned: (m, k) False where padded.
        judged: (m, k) whether the returned document has a judgment for this query.
        gains: (m, k) float64 ``max(grade, 0)``; 0 where not judged.
        offsets: (m + 1,) int64 from 0: the judgments of query i are ``all_gains[offsets[i]:offsets[i+1]]``.
        all_gains: (j,) float64 gain of every judgment, returned or not.
    """

    returned: BoolArray
    judged: BoolArray
    gains: Float64Array
    offsets: IntArray
    all_gains: Float64Array

    @classmethod
    def of(cls, rows: IntArray, qrels: Qrels, start: int, stop: int) -> JudgedRankings:
        """Look up the documents returned for the queries ``start`` to ``stop``.

        Raises:
            DataError: a judged document was returned twice for one query, which would count it twice.
        """
        offsets = qrels.offsets[start : stop + 1]
        first, last = int(offsets[0]), int(offsets[-1])
        block = rows[start:stop]
        position = locate(block, offsets, qrels.rows)
        judged = position >= 0
        times = np.bincount(position[judged] - first, minlength=1)
        if times.max() > 1:
            judgment = first + int(times.argmax())
            query = int(np.searchsorted(qrels.offsets, judgment, side="right")) - 1
            raise DataError(
                f"hits of query {query} hold row {int(qrels.rows[judgment])} more than once; "
                "a ranking names each document once"
            )
        all_gains = np.maximum(qrels.grades[first:last], 0).astype(np.float64)
        gains = np.zeros(block.shape)
        gains[judged] = all_gains[position[judged] - first]
        return cls(returned=block >= 0, judged=judged, gains=gains, offsets=offsets - first, all_gains=all_gains)

    @cached_property
    def relevant(self) -> BoolArray:
        """(m, k) whether the returned document is relevant."""
        return self.gains > 0

    @cached_property
    def judgments(self) -> IntArray:
        """(m,) number of judgments of each query."""
        return np.diff(self.offsets)

    @cached_property
    def relevant_total(self) -> Float64Array:
        """(m,) number of relevant documents of each query, returned or not."""
        return self._per_query((self.all_gains > 0).astype(np.float64))

    def ideal_dcg(self, cut: int) -> Float64Array:
        """(m,) DCG at ``cut`` of the best possible ranking of all judgments of the query."""
        best_first = np.lexsort((-self.all_gains, self._query))
        rank = np.arange(len(best_first)) - self.offsets[self._query]  # the sort keeps each query in its own range
        discount = discounts(int(rank.max(initial=0)) + 1)[rank]
        return self._per_query(np.where(rank < cut, self.all_gains[best_first] * discount, 0.0))

    @cached_property
    def _query(self) -> IntArray:
        return np.repeat(np.arange(len(self.judgments)), self.judgments)

    def _per_query(self, values: Float64Array) -> Float64Array:
        return np.bincount(self._query, weights=values, minlength=len(self.judgments)).astype(np.float64, copy=False)
