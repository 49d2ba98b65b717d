"""A random subspace: the control that any learned reduction must beat."""

from __future__ import annotations

import numpy as np

from retrieval_bench.projections._moments import centre, sampled
from retrieval_bench.projections._projection import Projection, check_dim, random_orthogonal
from retrieval_bench.types import FloatArray


def fit_random_rotation(vectors: FloatArray, dim: int, *, seed: int, center: bool = True) -> Projection:
    """Orthonormal random directions (Johnson and Lindenstrauss 1984), scaled so that products are kept on average.

    Args:
        vectors: (n, D), for their mean.
        dim: dimensions to keep, 1 to D.
        seed: of the directions.
        center: subtract the mean first.

    Raises:
        UsageError: dim is out of range.
        DataError: no vectors.
    """
    check_dim(dim, vectors, what="random_rotation")
    d = vectors.shape[1]
    matrix = (random_orthogonal(d, dim, seed) * np.sqrt(np.sqrt(d / dim))).astype(np.float32)
    # E[A B'] = dim / D * I for orthonormal columns; the factor, shared by both sides, makes it the identity.
    mean = centre(sampled(vectors, seed), wanted=center)
    return Projection(query=matrix, database=matrix, mean=mean)
