"""The difference of two means over different queries, such as tuning queries and held-out ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.statistics.samples import Float64Array, check_resamples, check_share, known


def unpaired_interval(
    a: npt.ArrayLike, b: npt.ArrayLike, *, level: float = 0.95, resamples: int = 2_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of ``mean(a) - mean(b)`` of independent samples.

    Args:
        a: (n,) values; NaN is left out.
        b: (m,) values of other queries.
        level: confidence, in (0, 1).
        resamples: bootstrap samples of each side.
        seed: of the resampling.

    Returns:
        (low, high); NaN where either side has fewer than two values.

    Raises:
        UsageError: infinite values, a level outside (0, 1), resamples < 1.
    """
    check_share("level", level)
    check_resamples(resamples)
    first, second = known(a), known(b)
    if min(len(first), len(second)) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn = _means(first, resamples, rng) - _means(second, resamples, rng)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _means(sample: Float64Array, resamples: int, rng: np.random.Generator) -> Float64Array:
    # How often each value is drawn is multinomial: one product instead of resamples x n look-ups.
    counts = rng.multinomial(len(sample), np.full(len(sample), 1 / len(sample)), size=resamples)
    means: Float64Array = counts @ sample / len(sample)
    return means
