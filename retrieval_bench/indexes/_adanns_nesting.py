"""Nested vectors: a map after which the leading dimensions alone say the most about a vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.projections import Projection, fit_pca, fit_query_aware
from retrieval_bench.types import FloatArray, Metric, Queries

Kind = Literal["pca", "prefix", "query_aware", "adaptor"]
NESTING = (
    "what makes leading dimensions say the most: pca; prefix, as they come from a model trained so (Matryoshka); "
    "query_aware, which needs training queries; adaptor, learned on the vectors"
)


@dataclass(frozen=True, kw_only=True)
class Nesting:
    """What a query needs to be compared with nested documents.

    The documents' side of the map is not kept, since they are stored nested.

    Attributes:
        matrix: (d, kept) float32, or (d, 0) for the plain prefix.
        mean: (d,) float32 that was subtracted from documents; (0,) for the plain prefix.
        kept: leading dimensions kept.
    """

    matrix: FloatArray
    mean: FloatArray
    kept: int

    @property
    def dim(self) -> int:
        """Dimensions of a query."""
        return len(self.matrix)

    @property
    def nbytes(self) -> int:
        """Bytes of the matrix and the mean."""
        return self.matrix.nbytes + self.mean.nbytes

    def queries(self, vectors: FloatArray, metric: Metric) -> FloatArray:
        """(m, d) to (m, kept) float32, whose prefixes go with the documents' prefixes."""
        if not len(self.mean):
            return np.ascontiguousarray(vectors[:, : self.kept], np.float32)
        return (vectors - self.mean if metric == "l2" else vectors) @ self.matrix

    def offsets(self, vectors: FloatArray, metric: Metric) -> FloatArray:
        """(m, 1) what centering the documents took from all scores of a query (m, d): ``<q, mean>``, or nothing."""
        if metric == "l2" or not len(self.mean):
            return np.zeros((len(vectors), 1), np.float32)
        return (vectors @ self.mean)[:, None]


def nesting_bytes(kind: Kind, d: int, kept: int) -> int:
    """Bytes of the Nesting of d dimensions."""
    return 0 if kind == "prefix" else 4 * d * (kept + 1)


def nested(
    kind: Kind, vectors: FloatArray, kept: int, *, metric: Metric, queries: Queries | None, seed: int
) -> tuple[Nesting, FloatArray]:
    """Learn a nesting, and the documents (n, kept) float32 in it.

    ``pca`` only turns the vectors, so that all dimensions together give the exact score; ``query_aware`` and
    ``adaptor`` do so for inner products, where the map of the queries undoes that of the documents.

    Raises:
        DataError: ``query_aware`` without queries.
    """
    d = vectors.shape[1]
    if kind == "prefix":
        documents = np.ascontiguousarray(vectors[:, :kept], np.float32)
        return Nesting(matrix=np.empty((d, 0), np.float32), mean=np.empty(0, np.float32), kept=kept), documents
    projection = _fitted(kind, vectors, kept, metric, queries, seed)
    return Nesting(matrix=projection.query, mean=projection.mean, kept=kept), projection.documents(vectors)


def _fitted(
    kind: Kind, vectors: FloatArray, kept: int, metric: Metric, queries: Queries | None, seed: int
) -> Projection:
    asked = None if queries is None else queries.require_vectors()
    if kind == "query_aware":
        if asked is None:
            raise DataError("nesting = 'query_aware' learns from queries: give training queries, or use 'pca'")
        return fit_query_aware(vectors, asked, kept, metric=metric, seed=seed)
    return fit_pca(vectors, kept, seed=seed)
