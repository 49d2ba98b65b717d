"""Whether the queries look like the corpus: indexes built from the corpus alone fail where they do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from retrieval_bench.errors import UsageError
from retrieval_bench.types import FloatArray

Float64Array = npt.NDArray[np.float64]
_RIDGE = 1e-6  # of the mean variance, so that a direction without any does not decide
_LEAST_ROWS = 4  # two to learn the spread from, two to hold against it
_OWN = 0.95  # share of the corpus's rows that are nearer than what is called unlike them


@dataclass(frozen=True, kw_only=True)
class Distances:
    """How far queries and the corpus's own rows are from the corpus, in root mean squares of its rows' distances.

    Attributes:
        queries: (m,), about 1 for vectors of the corpus's own distribution.
        own: (n,), each row held against rows that it is not among.
    """

    queries: Float64Array
    own: Float64Array

    @property
    def beyond(self) -> float:
        """Share of the corpus's rows that are nearer to it than the median query."""
        return float((self.own < np.median(self.queries)).mean())

    @property
    def foreign(self) -> bool:
        """Whether the median query is farther than 95 % of the corpus's rows."""
        return self.beyond > _OWN


def mahalanobis(queries: FloatArray, corpus: FloatArray) -> Distances:
    """Mahalanobis distances of queries to the corpus, and of the corpus's own rows to compare with.

    Rows are nearer to a mean and covariance learned from themselves than any other vector of their distribution, by
    much where there are few for the dimensions; so each half of the corpus is held against what the other gives.
    OOD-DiskANN (Jaiswal et al. 2022, arXiv 2211.12850) shows queries of another modality far above.

    Args:
        queries: (m, d).
        corpus: (n, d); a sample of some thousand rows will do.

    Raises:
        UsageError: fewer than 4 rows.
    """
    if len(corpus) < _LEAST_ROWS:
        raise UsageError(f"a corpus of {len(corpus)} rows has no spread to measure distances by; {_LEAST_ROWS} do")
    first, second = np.array_split(np.random.default_rng(0).permutation(len(corpus)), 2)
    asked, own = np.zeros(len(queries)), np.empty(len(corpus))
    for learned, held in ((first, second), (second, first)):
        mean, covariance = _moments(corpus[learned])
        diagonal = np.einsum("ii->i", covariance)
        diagonal += max(_RIDGE * diagonal.mean(), np.finfo(np.float32).tiny)
        factor = cholesky(covariance, lower=True)
        of_held = _lengths(corpus[held] - mean, factor)
        unit = float(np.sqrt((of_held**2).mean())) or 1.0
        own[held] = of_held / unit
        asked += _lengths(queries - mean, factor) / unit / 2
    return Distances(queries=asked, own=own)


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
    """Mean, and covariance drawn towards a multiple of the identity by as much as few rows call for.

    Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices, section 3.2.
    """
    rows = np.asarray(vectors, np.float64)
    n, d = rows.shape
    mean = rows.mean(axis=0)
    centred = rows - mean
    sample = centred.T @ centred / n
    scale, size = np.trace(sample) / d, (sample**2).sum()
    spread = size - d * scale**2  # squared distance of the sample covariance to the multiple of the identity
    error = (((centred**2).sum(axis=1) ** 2).mean() - size) / n  # expected squared error of the sample covariance
    share = float(np.clip(error / spread, 0.0, 1.0)) if spread > 0 else 1.0
    covariance: Float64Array = (1 - share) * sample
    covariance[np.diag_indices(d)] += share * scale
    return mean, covariance


def _lengths(differences: FloatArray | Float64Array, factor: Float64Array) -> Float64Array:
    """(m,) Mahalanobis lengths of (m, d) by the lower Cholesky factor of the covariance."""
    whitened = solve_triangular(factor, np.asarray(differences, np.float64).T, lower=True)
    lengths: Float64Array = np.sqrt((whitened**2).sum(axis=0))
    return lengths
