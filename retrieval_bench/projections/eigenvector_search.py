"""LeanVec-ES: one matrix for queries and documents, from a mixture of their second moments."""

from __future__ import annotations

import numpy as np

from retrieval_bench.projections._moments import centre, loss, sampled, second_moment
from retrieval_bench.projections._projection import Projection, check_dim
from retrieval_bench.projections.pca import leading
from retrieval_bench.types import FloatArray, Metric


def fit_eigenvector_search(
    vectors: FloatArray, queries: FloatArray, dim: int, *, metric: Metric = "ip", seed: int, center: bool = True
) -> Projection:
    """LeanVec-ES (arXiv 2312.16335, algorithm 2).

    The leading eigenvectors P of ``beta Q'Q / m + (1 - beta) X'X / n`` serve as ``A = B``; beta is the one of least
    loss, found by bounded scalar search. Orthonormal columns make no direction louder than another, which a code with
    one scale for all dimensions likes; ``query_aware`` has the smaller loss.

    Args and errors: see ``fit_query_aware``. Each moment is scaled to trace 1, so that beta weighs like with like.
    """
    check_dim(dim, vectors, what="eigenvector_search")
    check_dim(vectors.shape[1], queries, what="eigenvector_search, training queries")
    rows = sampled(vectors, seed)
    mean = centre(rows, wanted=center)
    asked = sampled(queries, seed)
    moments = [second_moment(asked, mean if metric == "l2" else None), second_moment(rows, mean)]
    of_queries, of_rows = (moment / max(np.trace(moment), np.finfo(np.float64).tiny) for moment in moments)

    def error(beta: float) -> float:
        kept = leading(beta * of_queries + (1 - beta) * of_rows, dim)
        return loss(of_queries, of_rows, kept, kept)

    from scipy.optimize import minimize_scalar  # here: slow to import, and few indexes are fitted so

    best = min(
        (0.0, 1.0, float(minimize_scalar(error, bounds=(0, 1), method="bounded", options={"xatol": 1e-2}).x)), key=error
    )
    matrix = leading(best * of_queries + (1 - best) * of_rows, dim).astype(np.float32)
    return Projection(query=matrix, database=matrix, mean=mean)
