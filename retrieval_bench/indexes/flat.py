"""Exact search over all vectors."""

from __future__ import annotations

from typing import Any, ClassVar

import faiss
import numpy as np

from retrieval_bench.budgets import require_bytes
from retrieval_bench.exact import DoubleArray, exact_scores, ranked
from retrieval_bench.indexes._faiss import METRICS, FaissIndex
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, Metric, Params, Queries

_MORE = 8  # rows asked for beyond k: what is left out then scores so much less that rounding cannot hide a better one
_BLOCK_ROWS = 1 << 14
_LOST = 2.0**-23  # of a term, by each rounding of float32: twice the half unit that rounding can lose
_UNDERFLOW, _OVERFLOW = 2.0**-120, 1e37


class FlatBuild(Params):
    """Nothing to choose."""


class FlatSearch(Params):
    """Nothing to choose."""


@indexes.register("flat")
class Flat(FaissIndex):
    """Every query is compared with every vector. The reference that the others are judged against.

    On the CPU the answer is that of float64, on any data, equal ones (as float32) by ascending row: faiss proposes in
    float32, and where its rounding could have changed the order or hidden a better row, float64 decides, over all rows
    if need be. faiss finds distances of 20 queries or more by lengths and products, which cancel: its error is then
    relative to the squared lengths. On a GPU the answer is faiss's own, in float32.
    """

    name = "flat"
    forms = "flat"
    BuildParams: ClassVar[type[Params]] = FlatBuild
    SearchParams: ClassVar[type[Params]] = FlatSearch
    _longest: float | None = None

    def build(
        self,
        corpus: Corpus,
        params: FlatBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns nothing
        seed: int = 0,  # noqa: ARG002 - chooses nothing
    ) -> None:
        """See protocols.Index."""
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        require_bytes(f"flat (float32, {d} dimensions)", 4 * n * d, budget, n)
        self.params = params
        self._fill(faiss.IndexFlat(d, METRICS[metric]), vectors)

    def _search_parameters(self, k: int, params: Any) -> None:  # noqa: ARG002 - nothing to set
        return None

    def _found(self, vectors: FloatArray, k: int, params: Any, settings: Any) -> tuple[FloatArray, IntArray]:
        values, rows = super()._found(vectors, min(k + _MORE, self._index.ntotal), params, settings)
        scores = -values if self._metric == "l2" else values
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not in order
            off = self._error(vectors, scores)
            highest, lowest = scores + off, scores - off
            in_order = lowest[:, : min(k, scores.shape[1] - 1)] > highest[:, 1 : k + 1]
        doubtful = np.flatnonzero(~in_order.all(axis=1))
        if len(doubtful):
            settled = self._settled(vectors[doubtful], rows[doubtful], highest[doubtful, -1], k)
            rows[doubtful, :k], scores[doubtful, :k] = settled
        return -scores[:, :k] if self._metric == "l2" else scores[:, :k], rows[:, :k]

    def _settled(self, vectors: FloatArray, rows: IntArray, most: DoubleArray, k: int) -> tuple[IntArray, FloatArray]:
        """The best k by float64: of the proposed rows (m, c) if no other row can exceed ``most`` (m,), else of all."""
        there, metric = self._vectors(), self._metric
        found, best = ranked(rows, exact_scores(there, vectors, rows, metric), k)
        if rows.shape[1] == len(there):
            return found, best
        everything = np.arange(len(there))[np.newaxis]
        with np.errstate(over="ignore"):
            open_ = ~(most.astype(np.float32) < best[:, -1])
        for i in np.flatnonzero(open_):
            exact = exact_scores(there, vectors[i : i + 1], everything, metric)
            found[i : i + 1], best[i : i + 1] = ranked(everything, exact, k)
        return found, best

    def _error(self, vectors: FloatArray, scores: FloatArray) -> DoubleArray:
        """(m, c) or (m, 1) float64: no score of these queries is further from the exact one of its row.

        Sums of d products lose up to d roundings relative to the magnitudes (Higham, Accuracy and Stability of
        Numerical Algorithms, 2nd ed., section 3.1); sums of squared differences lose as much of themselves.
        """
        m, d = vectors.shape
        if self._metric == "l2" and m < faiss.cvar.distance_compute_blas_threshold:
            size = -scores.astype(np.float64)
        else:
            longest, lengths = self._length(), np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
            size = lengths * longest if self._metric == "ip" else (lengths + longest) ** 2
        return np.where(size < _OVERFLOW, (d + 4) * _LOST * size + d * _UNDERFLOW, np.inf)

    @property
    def _metric(self) -> Metric:
        return "l2" if self._index.metric_type == faiss.METRIC_L2 else "ip"

    def _vectors(self) -> FloatArray:
        """(n, d) float32: the index's own memory."""
        n, d = self._index.ntotal, self._index.d
        there: FloatArray = faiss.rev_swig_ptr(self._index.get_xb(), n * d).reshape(n, d)
        return there

    def _length(self) -> float:
        """Of the longest row; found at the first batch."""
        if self._longest is None:
            blocks = (self._vectors()[i : i + _BLOCK_ROWS] for i in range(0, self._index.ntotal, _BLOCK_ROWS))
            self._longest = max(float(np.square(block, dtype=np.float64).sum(axis=1).max()) ** 0.5 for block in blocks)
        return self._longest
