"""Whether the queries that are seen are distributed as those that a reduction was made for.

Queries are looked at in the leading directions of the documents. A reduction that was learned from the training queries
keeps them better than any new ones, so that measured by it everything would look like a drift.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.projections._moments import shrunk_moment
from retrieval_bench.projections.pca import fit_pca
from retrieval_bench.types import FloatArray

FEWEST_TRAINING = 40  # queries from which their distribution can be told
_FEWEST_SEEN = 20
_SAMPLE = 4_096  # documents that give the directions
_DIRECTIONS = 32


@dataclass(frozen=True, kw_only=True)
class QueryProfile:
    """What is kept of training queries: two numbers of each that was held out of the moments they are compared with.

    Attributes:
        basis: (D, d) float32, leading directions of the documents.
        center: (d,) float32, mean of the reduced queries.
        whitener: (d, d) float32; ``|(basis'q - center) whitener|^2`` is a query's Mahalanobis distance.
        distances: (h,) float32 distances of held-out training queries, ascending.
        kept: (h,) float32 shares ``|basis'q|^2 / |q|^2`` of their energy in those directions, ascending.
    """

    basis: FloatArray
    center: FloatArray
    whitener: FloatArray
    distances: FloatArray
    kept: FloatArray

    def measure(self, queries: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mahalanobis distances and kept shares of queries (m, D)."""
        reduced = queries @ self.basis
        distances = np.square((reduced - self.center) @ self.whitener).sum(axis=1)
        lengths = np.maximum(np.square(queries).sum(axis=1), np.finfo(np.float32).tiny)
        return distances, np.square(reduced).sum(axis=1) / lengths


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The outcome of a comparison.

    Attributes:
        p_value: chance of differences as large as these between queries of one distribution.
        drifted: p_value is below the level that was asked for.
        distance_ratio: median Mahalanobis distance over that of the training queries; 1 without drift.
        kept_ratio: the same of the share of energy in the documents' leading directions; below 1 less is kept.
    """

    p_value: float
    drifted: bool
    distance_ratio: float
    kept_ratio: float


def profile_queries(vectors: FloatArray, queries: FloatArray, *, seed: int) -> QueryProfile:
    """Summarise training queries: a random half gives the moments, the other half the distribution of distances.

    A query that shaped the moments lies nearer to them than a new one does; hence the two halves.

    Args:
        vectors: documents (n, D), of which a sample gives the directions.
        queries: (m, D).
        seed: of the sample and the halves.

    Raises:
        DataError: fewer than 40 queries.
    """
    if len(queries) < FEWEST_TRAINING:
        raise DataError(
            f"{len(queries)} training queries are too few to tell a drift; at least {FEWEST_TRAINING} are needed"
        )
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.choice(len(vectors), min(_SAMPLE, len(vectors)), replace=False))
    basis = fit_pca(vectors[rows], min(_DIRECTIONS, vectors.shape[1]), seed=seed, center=False).query
    fitted, held_out = np.array_split(queries[generator.permutation(len(queries))], 2)
    reduced = fitted @ basis
    center = reduced.mean(axis=0)
    values, axes = np.linalg.eigh(shrunk_moment(reduced - center))
    whitener = axes / np.sqrt(np.maximum(values, np.finfo(np.float32).tiny))
    empty = np.empty(0, np.float32)
    moments = QueryProfile(
        basis=basis, center=center, whitener=whitener.astype(np.float32), distances=empty, kept=empty
    )
    distances, kept = (np.sort(part) for part in moments.measure(held_out))
    return replace(moments, distances=distances, kept=kept)


def check_drift(profile: QueryProfile, queries: FloatArray, *, level: float = 0.01) -> Drift:
    """Compare queries with those of the profile.

    Two Kolmogorov-Smirnov tests, of the distances and of the kept shares; the smaller p-value is doubled (Bonferroni).

    Args:
        profile: of the training queries.
        queries: (m, D) that were seen.
        level: chance of a false alarm.

    Raises:
        DataError: fewer than 20 queries.
    """
    if len(queries) < _FEWEST_SEEN:
        raise DataError(f"{len(queries)} queries are too few to tell a drift; show at least {_FEWEST_SEEN}")
    distances, kept = profile.measure(queries)
    p_value = min(1.0, 2 * min(_p_value(profile.distances, distances), _p_value(profile.kept, kept)))
    return Drift(
        p_value=p_value,
        drifted=p_value < level,
        distance_ratio=_ratio(distances, profile.distances),
        kept_ratio=_ratio(kept, profile.kept),
    )


def _p_value(expected: FloatArray, seen: FloatArray) -> float:
    from scipy.stats import ks_2samp  # here: takes a second to import, which every load of an index would pay

    return float(ks_2samp(expected, seen, method="asymp").pvalue)


def _ratio(seen: FloatArray, expected: FloatArray) -> float:
    return float(np.median(seen) / max(float(np.median(expected)), float(np.finfo(np.float32).tiny)))
