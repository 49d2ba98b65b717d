"""A pair of matrices that reduce queries and documents, and how inner product and distance follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.types import FloatArray, Metric

Float64Array = npt.NDArray[np.float64]
_BLOCK_ROWS = 1 << 14  # documents reduced together: bounds the temporary copies


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Maps queries by ``A`` and documents by ``B`` so that ``<A'q, B'(x - mean)>`` stands for ``<q, x - mean>``.

    Inner product: ``<q, x> = <q, x - mean> + <q, mean>``. The last term is the same for every document, so queries
    need no centering and the reduced product ranks as the full one does, up to what the reduction loses.

    Euclidean distance: with both sides centred,
    ``-|q - x|^2 = 2 (<q - mean, x - mean> - |x - mean|^2 / 2) - |q - mean|^2``. So documents are ranked by the reduced
    product of the centred query, less half of the document's full squared length, kept beside its code; the last term
    is again the query's own.

    Attributes:
        query: A, (D, d) float32.
        database: B, (D, d) float32; the same array as ``query`` where a method uses one matrix.
        mean: (D,) float32, subtracted from documents; zeros where the method does not centre.
    """

    query: FloatArray
    database: FloatArray
    mean: FloatArray

    def __post_init__(self) -> None:
        if self.query.ndim != 2 or self.query.shape != self.database.shape or self.mean.shape != self.query.shape[:1]:
            raise DataError(
                f"projection: matrices {self.query.shape} and {self.database.shape} must be one (D, d), "
                f"the mean {self.mean.shape} (D,)"
            )

    @property
    def dim(self) -> int:
        """Dimensions d after the reduction."""
        return int(self.query.shape[1])

    def queries(self, vectors: FloatArray, *, metric: Metric = "ip") -> FloatArray:
        """(m, D) to (m, d) float32; centred first under ``l2`` only (see above)."""
        centred = vectors - self.mean if metric == "l2" else vectors
        return np.asarray(centred @ self.query, np.float32)

    def documents(self, vectors: FloatArray, *, unit: bool = False) -> FloatArray:
        """(n, D) to (n, d) float32.

        Args:
            vectors: read in blocks, so they may be memory-mapped.
            unit: scale the reduced rows to length 1 (zero rows stay): under cosine a document that lies mostly outside
                of the kept dimensions would otherwise be ranked too low by all queries alike.
        """
        reduced = np.empty((len(vectors), self.dim), np.float32)
        for start in range(0, len(vectors), _BLOCK_ROWS):
            reduced[start : start + _BLOCK_ROWS] = (vectors[start : start + _BLOCK_ROWS] - self.mean) @ self.database
        if unit:
            lengths = np.linalg.norm(reduced, axis=1, keepdims=True)
            reduced /= np.where(lengths > 0, lengths, 1)
        return reduced

    def rotated(self, seed: int) -> Projection:
        """The same reduction in another basis of its d dimensions, which changes no product.

        A random rotation spreads variance evenly over the dimensions, so that one scale serves them all in a code.
        """
        turn = random_orthogonal(self.dim, self.dim, seed).astype(np.float32)
        query = self.query @ turn
        database = query if self.database is self.query else self.database @ turn
        return Projection(query=query, database=database, mean=self.mean)


def random_orthogonal(rows: int, columns: int, seed: int) -> Float64Array:
    """(rows, columns) with orthonormal columns, uniform over all such (Mezzadri 2007, section 4)."""
    basis, upper = np.linalg.qr(np.random.default_rng(seed).standard_normal((rows, columns)))
    return np.asarray(basis * np.sign(np.diagonal(upper)), np.float64)


def check_dim(dim: int, vectors: FloatArray, *, what: str) -> None:
    """Refuse a reduction that cannot be made.

    Raises:
        UsageError: more dimensions than the vectors have, or none.
        DataError: no vectors.
    """
    if vectors.ndim != 2 or len(vectors) == 0:
        raise DataError(f"{what}: needs vectors of the shape (n, D) to learn from, not {vectors.shape}")
    if not 1 <= dim <= vectors.shape[1]:
        raise UsageError(
            f"{what}: cannot reduce {vectors.shape[1]} dimensions to {dim}; ask for 1 to {vectors.shape[1]}"
        )
