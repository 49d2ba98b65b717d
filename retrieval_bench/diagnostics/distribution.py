"""Whether the queries look like the corpus: indexes built from the corpus alone fail where they do not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.types import FloatArray

Float64Array = npt.NDArray[np.float64]
_RIDGE = 1e-6  # of the mean variance, so that a direction without any does not decide


def mahalanobis(queries: FloatArray, corpus: FloatArray) -> Float64Array:
    """(m,) Mahalanobis distance of each query to the corpus, divided by the root of d.

    A vector of the corpus's own distribution has about 1, whatever the dimension; OOD-DiskANN (Jaiswal et al. 2022,
    arXiv 2211.12850) shows queries of another modality far above.

    Args:
        queries: (m, d).
        corpus: (n, d); a sample of some thousand rows will do.
    """
    mean, covariance = _moments(corpus)
    values, directions = np.linalg.eigh(covariance)
    whitened = (queries - mean) @ directions / np.sqrt(np.maximum(values, 0) + _RIDGE * values.mean())
    distance: Float64Array = np.sqrt((whitened**2).mean(axis=1))
    return distance


def frechet(queries: FloatArray, corpus: FloatArray) -> float:
    """Frechet distance between Gaussians fitted to both (Dowson and Landau 1982), relative to the corpus's spread.

    The squared distance is divided by the corpus's total variance: 0 for the same distribution, about 1 for means one
    standard deviation apart.
    """
    (mean_q, cov_q), (mean_c, cov_c) = _moments(queries), _moments(corpus)
    values, directions = np.linalg.eigh(cov_c)
    root = (directions * np.sqrt(np.maximum(values, 0))) @ directions.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_q @ root), 0)).sum()
    squared = ((mean_q - mean_c) ** 2).sum() + np.trace(cov_q) + np.trace(cov_c) - 2 * cross
    return float(max(squared, 0.0) / np.trace(cov_c))


def _moments(vectors: FloatArray) -> tuple[Float64Array, Float64Array]:
    rows = np.asarray(vectors, np.float64)
    return rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False, bias=True))
