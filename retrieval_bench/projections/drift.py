"""Whether the queries that are seen are distributed as those that a reduction was made for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import ks_2samp

from retrieval_bench.errors import DataError
from retrieval_bench.projections._moments import shrunk_moment
from retrieval_bench.projections._projection import Projection
from retrieval_bench.types import FloatArray

_FEWEST = 20  # queries, on either side, from which anything can be told


@dataclass(frozen=True, kw_only=True)
class QueryProfile:
    """What is kept of training queries: two numbers of each that was held out of the moments they are compared with.

    Attributes:
        center: (d,) float32, mean of the reduced queries.
        whitener: (d, d) float32; ``|(A'q - center) whitener|^2`` is a query's Mahalanobis distance.
        distances: (h,) float32 distances of held-out training queries, ascending.
        kept: (h,) float32 shares ``|A'q|^2 / |q|^2`` of their energy that the reduction keeps, ascending.
    """

    center: FloatArray
    whitener: FloatArray
    distances: FloatArray
    kept: FloatArray

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in (self.center, self.whitener, self.distances, self.kept))

    def measure(self, projection: Projection, queries: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mahalanobis distances and kept shares of queries (m, D)."""
        reduced = projection.queries(queries)
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
        kept_ratio: the same of the share of energy that the reduction keeps; below 1 it suits these queries worse.
    """

    p_value: float
    drifted: bool
    distance_ratio: float
    kept_ratio: float


def profile_queries(projection: Projection, queries: FloatArray, *, seed: int) -> QueryProfile:
    """Summarise training queries: a random half gives the moments, the other half the distribution of distances.

    A query that shaped the moments lies nearer to them than a new one does; hence the two halves.

    Raises:
        DataError: fewer than 40 queries.
    """
    if len(queries) < 2 * _FEWEST:
        raise DataError(
            f"{len(queries)} training queries are too few to tell a drift; at least {2 * _FEWEST} are needed"
        )
    order = np.random.default_rng(seed).permutation(len(queries))
    fitted, held_out = np.array_split(queries[order], 2)
    reduced = projection.queries(fitted)
    center = reduced.mean(axis=0)
    values, basis = np.linalg.eigh(shrunk_moment(reduced - center))
    whitener = basis / np.sqrt(np.maximum(values, np.finfo(np.float32).tiny))
    profile = QueryProfile(
        center=center.astype(np.float32),
        whitener=whitener.astype(np.float32),
        distances=np.empty(0, np.float32),
        kept=np.empty(0, np.float32),
    )
    distances, kept = (np.sort(part).astype(np.float32) for part in profile.measure(projection, held_out))
    return QueryProfile(center=profile.center, whitener=profile.whitener, distances=distances, kept=kept)


def check_drift(profile: QueryProfile, projection: Projection, queries: FloatArray, *, level: float = 0.01) -> Drift:
    """Compare queries with those of the profile.

    Two Kolmogorov-Smirnov tests, of the distances and of the kept shares; the smaller p-value is doubled (Bonferroni).

    Args:
        profile: of the training queries.
        projection: the one that the profile was made with.
        queries: (m, D) that were seen.
        level: chance of a false alarm.

    Raises:
        DataError: fewer than 20 queries.
    """
    if len(queries) < _FEWEST:
        raise DataError(f"{len(queries)} queries are too few to tell a drift; show at least {_FEWEST}")
    distances, kept = profile.measure(projection, queries)
    p_value = min(1.0, 2 * min(_p_value(profile.distances, distances), _p_value(profile.kept, kept)))
    return Drift(
        p_value=p_value,
        drifted=p_value < level,
        distance_ratio=_ratio(distances, profile.distances),
        kept_ratio=_ratio(kept, profile.kept),
    )


def _p_value(expected: FloatArray, seen: FloatArray) -> float:
    return float(ks_2samp(expected, seen, method="asymp").pvalue)


def _ratio(seen: FloatArray, expected: FloatArray) -> float:
    return float(np.median(seen) / max(float(np.median(expected)), float(np.finfo(np.float32).tiny)))
