"""Principal components: the best reduction for queries that are distributed as the documents are."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from retrieval_bench.projections._moments import centre, sampled, second_moment
from retrieval_bench.projections._projection import Float64Array, Projection, check_dim
from retrieval_bench.types import FloatArray


def fit_pca(vectors: FloatArray, dim: int, *, seed: int, center: bool = True) -> Projection:
    """The leading ``dim`` eigenvectors of the documents' second moment, for queries and documents alike.

    Columns stand in descending order of variance, so a prefix of the reduced dimensions is itself the best reduction
    to so many.

    Args:
        vectors: (n, D); of more than ``2^14`` a sample is used.
        dim: dimensions to keep, 1 to D. All of them: a rotation that loses nothing.
        seed: of the sample.
        center: subtract the mean first.

    Raises:
        UsageError: dim is out of range.
        DataError: no vectors.
    """
    check_dim(dim, vectors, what="pca")
    rows = sampled(vectors, seed)
    mean = centre(rows, wanted=center)
    matrix = leading(second_moment(rows, mean), dim).astype(np.float32)
    return Projection(query=matrix, database=matrix, mean=mean)


def leading(moment: Float64Array, dim: int) -> Float64Array:
    """The eigenvectors (D, dim) of the largest eigenvalues, largest first, with signs that do not depend on LAPACK."""
    d = len(moment)
    _, vectors = eigh(moment, subset_by_index=(d - dim, d - 1))
    vectors = vectors[:, ::-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return np.ascontiguousarray(vectors * np.where(largest < 0, -1.0, 1.0))
