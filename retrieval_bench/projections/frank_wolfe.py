"""LeanVec-FW: two matrices within the convex hull of orthonormal ones, by block-coordinate Frank-Wolfe."""

from __future__ import annotations

import numpy as np

from retrieval_bench.projections._moments import centre, loss, sampled, second_moment
from retrieval_bench.projections._projection import Float64Array, Projection, check_dim
from retrieval_bench.projections.eigenvector_search import fit_eigenvector_search
from retrieval_bench.types import FloatArray, Metric

_STEPS = 500
_STEP_EXPONENT = 0.999  # step t moves by t^-0.999: the first leaves the start for good
_TOLERANCE = 1e-3  # relative change of the loss at which to stop


def fit_frank_wolfe(
    vectors: FloatArray, queries: FloatArray, dim: int, *, metric: Metric = "ip", seed: int, center: bool = True
) -> Projection:
    """LeanVec-FW (arXiv 2312.16335, algorithm 1), started from the eigenvector search.

    A and B are moved in turn towards the orthonormal matrix that the gradient of ``|Q A B' X' - Q X'|_F^2`` points to:
    ``U V'`` of the singular value decomposition of the negative gradient, the extreme point of the ball of spectral
    norm 1. The best pair met is returned, so the loss is never above that of the start.

    Args and errors: see ``fit_query_aware``.
    """
    check_dim(dim, vectors, what="frank_wolfe")
    start = fit_eigenvector_search(vectors, queries, dim, metric=metric, seed=seed, center=center)
    mean = centre(sampled(vectors, seed), wanted=center)
    of_queries = second_moment(sampled(queries, seed), mean if metric == "l2" else None)
    of_rows = second_moment(sampled(vectors, seed), mean)
    a, b = start.query.astype(np.float64), start.database.astype(np.float64)
    best = error = loss(of_queries, of_rows, a, b)
    kept = a, b
    for step in range(1, _STEPS + 1):
        share = step**-_STEP_EXPONENT
        a = (1 - share) * a + share * _extreme(of_queries @ (a @ b.T - np.eye(len(mean))) @ of_rows @ b)
        b = (1 - share) * b + share * _extreme(of_rows @ (b @ a.T - np.eye(len(mean))) @ of_queries @ a)
        before, error = error, loss(of_queries, of_rows, a, b)
        if error < best:
            best, kept = error, (a, b)
        if step > 2 and abs(before - error) <= _TOLERANCE * before:
            break
    return Projection(query=kept[0].astype(np.float32), database=kept[1].astype(np.float32), mean=mean)


def _extreme(gradient: Float64Array) -> Float64Array:
    """The matrix of spectral norm 1 that points most against the gradient."""
    left, _, right = np.linalg.svd(-gradient, full_matrices=False)
    return np.asarray(left @ right, np.float64)
