"""The reduction that keeps the inner products of given queries best, in closed form."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from retrieval_bench.projections._moments import centre, sampled, second_moment, shrunk_moment
from retrieval_bench.projections._projection import Projection, check_dim
from retrieval_bench.projections.pca import leading
from retrieval_bench.types import FloatArray, Metric


def fit_query_aware(
    vectors: FloatArray, queries: FloatArray, dim: int, *, metric: Metric = "ip", seed: int, center: bool = True
) -> Projection:
    """Minimise ``|Q A B' X' - Q X'|_F`` over matrices of rank ``dim`` (GleanVec, arXiv 2410.22347, section 2).

    With ``S = (Q'Q)^(1/2)`` the error is ``|S (A B' - I) X'|_F``, whose best rank-d form keeps the leading
    eigenvectors U of ``S X'X S``: ``A = S^-1 U`` and ``B = S U``. The reduced documents are uncorrelated.

    Args:
        vectors: documents (n, D); of more than ``2^14`` a sample is used.
        queries: (m, D) of the distribution to come; few are enough, their second moment is shrunk (``shrunk_moment``).
        dim: dimensions to keep, 1 to D.
        metric: under ``l2`` queries are centred as documents are.
        seed: of the sample.
        center: subtract the documents' mean first.

    Raises:
        UsageError: dim is out of range.
        DataError: no vectors, no queries, or of different dimensions.
    """
    check_dim(dim, vectors, what="query_aware")
    check_dim(vectors.shape[1], queries, what="query_aware, training queries")
    rows = sampled(vectors, seed)
    mean = centre(rows, wanted=center)
    asked = sampled(queries, seed)
    values, basis = eigh(shrunk_moment(asked - mean if metric == "l2" else asked))
    lengths = np.sqrt(values)
    root, inverse = (basis * lengths) @ basis.T, (basis / lengths) @ basis.T
    kept = leading(root @ second_moment(rows, mean) @ root, dim)
    return Projection(query=(inverse @ kept).astype(np.float32), database=(root @ kept).astype(np.float32), mean=mean)
