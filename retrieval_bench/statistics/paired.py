"""Comparing systems on the same queries: every method here works on per-query differences.

The randomization test is the one recommended for retrieval by Smucker, Allan and Carterette (CIKM 2007).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.intervals import mean_interval
from retrieval_bench.statistics.samples import Float64Array, check_resamples, check_share, vector

_BLOCK_SIGNS = 1 << 20  # signs held together: bounds the temporary memory
_ROUNDING = 1e-12  # relative: assignments that tie with the observed one in exact arithmetic must count as ties


def randomization_test(a: npt.ArrayLike, b: npt.ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of "a and b do not differ", by flipping the signs of the per-query differences.

    If the systems were alike, which of the two values belongs to which system would be chance. All assignments are
    enumerated when there are no more than ``resamples``; otherwise they are drawn, and the observed one counts as one
    of them, so that p is never 0 (Phipson and Smyth 2010).

    Args:
        a: (n,) values of one system; a query where either is NaN is left out.
        b: (n,) values of the other, for the same queries.
        resamples: sign assignments drawn.
        seed: of the draws.

    Returns:
        p in (0, 1]; 1 when no query differs.

    Raises:
        UsageError: infinite values, vectors of different lengths, resamples < 1.
    """
    return float(_sign_flip(_differences(a, b)[:, None], resamples, seed)[0])


def one_sided_test(a: npt.ArrayLike, b: npt.ArrayLike, *, resamples: int = 10_000, seed: int = 0) -> float:
    """p-value of "a is not better than b": as ``randomization_test``, but only sums as great as the observed one count.

    Returns:
        p in (0, 1]; 1 when no query differs.

    Raises:
        UsageError: as ``randomization_test``.
    """
    return float(_sign_flip(_differences(a, b)[:, None], resamples, seed, one_sided=True)[0])


def difference_interval(
    a: npt.ArrayLike, b: npt.ArrayLike, *, level: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Paired bootstrap interval of ``mean(a - b)`` over queries (see ``mean_interval``).

    Raises:
        UsageError: as ``mean_interval``, and for vectors of different lengths.
    """
    return mean_interval(_differences(a, b), level=level, resamples=resamples, seed=seed)


def detectable_difference(a: npt.ArrayLike, b: npt.ArrayLike, *, level: float = 0.05, power: float = 0.8) -> float:
    """Smallest true mean difference that this many queries would show with probability ``power``.

    Normal approximation from the spread of the observed differences: ``(z(1 - level / 2) + z(power)) sd / sqrt(n)``
    (Sakai 2018, "Laboratory Experiments in Information Retrieval").

    Args:
        a: (n,) values of one system; a query where either is NaN is left out.
        b: (n,) values of the other.
        level: significance of the two-sided test.
        power: wanted probability of a detection.

    Returns:
        In the unit of the values; NaN with fewer than two queries.

    Raises:
        UsageError: infinite values, vectors of different lengths, level or power outside (0, 1).
    """
    check_share("level", level)
    check_share("power", power)
    differences = _differences(a, b)
    differences = differences[~np.isnan(differences)]
    if len(differences) < 2:
        return float("nan")
    error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
    return float((ndtri(1 - level / 2) + ndtri(power)) * error)


def holm(pvalues: npt.ArrayLike) -> Float64Array:
    """p-values of a table adjusted so that comparing each with the level holds the family-wise error (Holm 1979).

    Args:
        pvalues: (s,) p-values, in any order.

    Returns:
        (s,) float64 adjusted p-values, in the same order, at most 1.

    Raises:
        UsageError: a value that is not in [0, 1].
    """
    p = vector(pvalues)
    if not ((p >= 0) & (p <= 1)).all():
        raise UsageError("p-values must lie in [0, 1]")
    order = np.argsort(p, kind="stable")
    steps = np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * steps), 1.0)
    return adjusted


def tied_with_best(
    values: Mapping[str, npt.ArrayLike],
    *,
    higher: bool = True,
    level: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, bool]:
    """Which systems cannot be told from the best one.

    The best has the best mean. Every other system is compared with it by a randomization test on the queries that both
    answered; those whose Holm-adjusted p-value exceeds ``level`` are tied with it. The tests share their random signs,
    which Holm's correction allows, whatever the dependence.

    Args:
        values: by system, (n,) values of the same n queries; NaN where a query has no value.
        higher: whether higher values are better.
        level: family-wise error of calling a system worse.
        resamples: sign assignments drawn.
        seed: of the draws.

    Returns:
        By system, in the given order. A system without any value is not tied.

    Raises:
        UsageError: infinite values, vectors of different lengths, level outside (0, 1), resamples < 1.
    """
    check_share("level", level)
    vectors = {name: vector(v) for name, v in values.items()}
    means = {name: float(np.nanmean(v)) for name, v in vectors.items() if not np.isnan(v).all()}
    if not means:
        return dict.fromkeys(values, False)
    best = (max if higher else min)(means, key=means.__getitem__)
    others = [name for name in means if name != best]
    differences = [_differences(vectors[best], vectors[name]) for name in others]
    tied = {best}
    if others:
        p = holm(_sign_flip(np.stack(differences, axis=1), resamples, seed))
        tied.update(name for name, adjusted in zip(others, p, strict=True) if adjusted > level)
    return {name: name in tied for name in values}


def _differences(a: npt.ArrayLike, b: npt.ArrayLike) -> Float64Array:
    first, second = vector(a), vector(b)
    if len(first) != len(second):
        raise UsageError(f"paired values must be of the same queries: there are {len(first)} and {len(second)}")
    return first - second


def _sign_flip(differences: Float64Array, resamples: int, seed: int, *, one_sided: bool = False) -> Float64Array:
    """(s,) p-values of (n, s) differences; a NaN or zero difference has no sign to flip."""
    check_resamples(resamples)
    differences = np.nan_to_num(differences)
    differences = differences[differences.any(axis=1)]
    n = len(differences)
    total = differences.sum(axis=0)
    size = np.positive if one_sided else np.abs
    threshold = size(total) - _ROUNDING * np.abs(differences).sum(axis=0)
    exhaustive = 2**n <= resamples
    rng = np.random.default_rng(seed)
    draws = 2**n if exhaustive else resamples
    as_extreme = np.zeros(differences.shape[1], np.int64)
    step = max(1, _BLOCK_SIGNS // max(1, n))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        if exhaustive:
            flips = (np.arange(start, start + count)[:, None] >> np.arange(n) & 1).astype(np.float64)
        else:
            octets = rng.integers(256, size=(count, -(-n // 8)), dtype=np.uint8)
            flips = np.unpackbits(octets, axis=1, count=n).astype(np.float64)
        flipped = total - 2.0 * (flips @ differences)
        as_extreme += (size(flipped) >= threshold).sum(axis=0)
    return as_extreme / draws if exhaustive else (as_extreme + 1) / (draws + 1)
