"""Confidence intervals of a mean over queries, and of the median or a percentile of timings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, ndtr, ndtri

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.samples import Float64Array, check_resamples, check_share, known

_BLOCK_DRAWS = 1 << 20  # draws held together: keeps the bootstrap within the cache


def mean_interval(
    values: npt.ArrayLike, *, level: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Bias-corrected and accelerated (BCa) bootstrap interval of a mean.

    Efron 1987, "Better Bootstrap Confidence Intervals". Per-query values are bounded and skewed (many 0, many 1); BCa
    follows the skew, where mean ± 2 standard errors would leave [0, 1].

    Args:
        values: (n,) per-query values; NaN is left out.
        level: confidence, in (0, 1).
        resamples: bootstrap samples; 2,000 place each end within about 6 % of a standard error.
        seed: of the resampling.

    Returns:
        (low, high). Both are the value itself when all values are equal, and NaN when there are fewer than two: one
        query says nothing about the spread of others.

    Raises:
        UsageError: infinite values, a shape other than (n,), a level outside (0, 1), resamples < 1.
    """
    check_share("level", level)
    check_resamples(resamples)
    sample = known(values)
    if len(sample) < 2:
        return float("nan"), float("nan")
    if np.ptp(sample) == 0.0:
        return float(sample[0]), float(sample[0])
    centred = sample - sample.mean()
    unit = centred / np.abs(centred).max()  # so that no power of a tiny value vanishes
    acceleration = float((unit**3).sum()) / (6.0 * float((unit**2).sum()) ** 1.5)
    means = _bootstrap_means(centred, resamples, np.random.default_rng(seed))
    # Share of bootstrap means below the sample's, ties halved, kept off 0 and 1 so that its normal score is finite.
    below = np.clip(((means < 0).mean() + (means <= 0).mean()) / 2, 0.5 / resamples, 1 - 0.5 / resamples)
    bias = ndtri(below)
    score = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    shares = ndtr(bias + score / (1 - acceleration * score))
    low, high = np.quantile(means, shares) + sample.mean()
    return float(low), float(high)


def _bootstrap_means(sample: Float64Array, resamples: int, rng: np.random.Generator) -> Float64Array:
    n = len(sample)
    means = np.empty(resamples)
    step = max(1, _BLOCK_DRAWS // n)
    for start in range(0, resamples, step):
        draws = rng.integers(n, size=(min(step, resamples - start), n), dtype=np.uint32)
        means[start : start + len(draws)] = sample[draws].mean(axis=1)
    return means


def median_interval(samples: npt.ArrayLike, *, level: float = 0.95) -> tuple[float, float]:
    """Distribution-free interval of a median: ``percentile_interval`` at 50.

    With fewer than six samples no interval reaches 95 %: the full range is returned, which covers the median with
    probability ``1 - 2 ** (1 - n)`` (75 % of three, 94 % of five).
    """
    return percentile_interval(samples, 50.0, level=level)


def percentile_interval(samples: npt.ArrayLike, q: float, *, level: float = 0.95) -> tuple[float, float]:
    """Distribution-free interval of a percentile, between two order statistics (Conover 1999, section 3.2).

    How many of n samples fall below the true percentile is binomial (n, q / 100), whatever the distribution; the two
    ranks cut at most ``(1 - level) / 2`` from each tail. A rank that the sample does not reach (the upper end of p99
    from 100 samples) is replaced by the sample's extreme, and the interval then covers less than ``level``.

    Args:
        samples: (n,) timings or other values; NaN is left out.
        q: percentile, in (0, 100).
        level: confidence, in (0, 1).

    Returns:
        (low, high), both among the samples; NaN when there are fewer than two: one says nothing about the others.

    Raises:
        UsageError: infinite values, a shape other than (n,), q or level out of range.
    """
    check_share("level", level)
    if not 0.0 < q < 100.0:
        raise UsageError(f"percentile {q} must lie between 0 and 100, both excluded")
    ordered = np.sort(known(samples))
    n = len(ordered)
    if n < 2:
        return float("nan"), float("nan")
    tail = (1 - level) / 2
    below = bdtr(np.arange(n + 1), n, q / 100)  # scipy.stats has its quantiles too, but takes half a second to import
    lower, upper = np.searchsorted(below, [tail, 1 - tail])  # the interval ends one rank above the upper one
    return float(ordered[max(lower, 1) - 1]), float(ordered[min(upper + 1, n) - 1])
