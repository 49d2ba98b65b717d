"""What makes a set of vectors hard to search: few useful dimensions, hubs, high intrinsic dimension, low contrast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.types import FloatArray, IntArray

Float64Array = npt.NDArray[np.float64]


def rank_me(vectors: FloatArray | Float64Array) -> float:
    """Effective rank: exp of the entropy of the normalised singular values (Garrido et al. 2023, RankMe, section 3).

    Between 1 and min(n, d). Vectors are taken as they are, as in the paper; some thousand rows will do.
    """
    gram = np.asarray(vectors, np.float64)
    gram = gram.T @ gram if gram.shape[1] <= gram.shape[0] else gram @ gram.T
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))
    share = singular / max(singular.sum(), np.finfo(np.float64).tiny) + 1e-7
    return float(np.exp(-(share * np.log(share)).sum()))


def hubness(neighbors: IntArray, n: int) -> float:
    """Skewness of how often each of n rows is among the k nearest of others (Radovanovic et al. 2010).

    About 0 without hubs; above 1 a few rows are in everyone's answer. That holds where all n rows ask: were they asked
    about by few, their counts would be small, and small counts are skewed by chance (a mean of 1 gives about 1).

    Args:
        neighbors: (n, k) rows, -1 where padded.
        n: rows in all.
    """
    found = neighbors[neighbors >= 0]
    times = np.bincount(found, minlength=n).astype(np.float64)
    spread = times.std()
    return float(((times - times.mean()) ** 3).mean() / spread**3) if spread else 0.0


def others(neighbors: IntArray) -> IntArray:
    """(n, k) neighbors without the row itself.

    Args:
        neighbors: (n, k + 1) of n rows among themselves. A row that is not there, as happens among duplicates, leaves
            its last neighbor out.
    """
    own = neighbors == np.arange(len(neighbors))[:, None]
    own[:, -1] |= ~own.any(axis=1)
    kept: IntArray = neighbors[~own].reshape(len(neighbors), -1)
    return kept


def intrinsic_dimension(distances: npt.ArrayLike) -> Float64Array:
    """(m,) local intrinsic dimension by maximum likelihood (Amsaleg et al. 2015; Levina and Bickel 2004).

    Args:
        distances: (m, k) Euclidean distances to the k nearest neighbors, ascending; zeros (the point itself,
            duplicates) are left out.

    Raises:
        UsageError: fewer than 3 neighbors.
    """
    d = np.asarray(distances, np.float64)
    if d.ndim != 2 or d.shape[1] < 3:
        raise UsageError(f"distances must have the shape (m, k) with k >= 3, not {d.shape}")
    far = d[:, -1:]
    use = (d > 0) & (d < far)
    logs = np.where(use, np.log(np.where(use, d, 1.0) / np.where(far > 0, far, 1.0)), 0.0)
    total, count = -logs.sum(axis=1), use.sum(axis=1)
    return np.where(total > 0, count / np.where(total > 0, total, 1.0), np.nan)


def relative_contrast(nearest: npt.ArrayLike, mean: npt.ArrayLike) -> float:
    """Mean distance to any row over mean distance to the nearest (He, Kumar and Chang 2012): near 1 is hard.

    Args:
        nearest: (m,) distance of each query to its nearest row.
        mean: (m,) its mean distance to all rows.
    """
    return float(np.mean(np.asarray(mean, np.float64)) / np.mean(np.asarray(nearest, np.float64)))


def euclidean(queries: FloatArray, corpus: FloatArray, rows: IntArray) -> Float64Array:
    """(m, k) distances of each query (m, d) to its rows (m, k) of the corpus (n, d)."""
    return np.stack(
        [np.linalg.norm(corpus[r].astype(np.float64) - q, axis=1) for q, r in zip(queries, rows, strict=True)]
    )


def mean_distance(queries: FloatArray, corpus: FloatArray) -> Float64Array:
    """(m,) mean Euclidean distance of each query to the corpus, or to a sample of it."""
    squares = (corpus.astype(np.float64) ** 2).sum(axis=1)
    parts = []
    for block in np.array_split(queries.astype(np.float64), max(1, len(queries) // 256)):
        squared = (block**2).sum(axis=1)[:, None] + squares[None, :] - 2 * block @ corpus.T
        parts.append(np.sqrt(np.maximum(squared, 0)).mean(axis=1))
    return np.concatenate(parts)
