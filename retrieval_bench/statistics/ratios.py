"""How many times faster: ratios of timings taken in turns, with an interval that needs no normal distribution."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.samples import Float64Array, check_share, known

_EFFICIENCY = 3 / np.pi  # of the signed-rank test against the t-test, for normal noise
_EXACT = 100  # from this many rounds on, the normal approximation of the signed-rank sum is off by less than 1e-3


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio of two positive quantities: its estimate, interval, and the p-value of "it is 1"."""

    value: float
    low: float
    high: float
    p: float
    rounds: int


def paired_ratio(a: npt.ArrayLike, b: npt.ArrayLike, *, level: float = 0.95) -> Ratio:
    """Hodges-Lehmann ratio of samples taken in turns: round i measured both a and b, a moment apart.

    The pairing takes out what both share (a slow spell, a drift of the clock rate). The estimate is the median of the
    means of all pairs of log-ratios; its interval and p-value are those of the signed-rank test (Hodges and Lehmann
    1963), exact whenever the log-ratio of a round is distributed symmetrically, whatever its tails. The interval leaves
    out 1 exactly when ``p <= 1 - level``, but for fewer than six rounds, which cannot reach 95 %: the interval is then
    the whole range, and p tells that it covers less. One round has no interval: its ends are NaN.

    Args:
        a: (n,) positive samples, such as seconds, of the numerator.
        b: (n,) of the denominator, of the same rounds.
        level: confidence, in (0, 1).

    Raises:
        UsageError: not positive or infinite samples, different numbers of rounds, none at all, level outside (0, 1).
    """
    check_share("level", level)
    first, second = known(a), known(b)
    if len(first) != len(second) or len(first) == 0:
        raise UsageError(f"a ratio needs rounds that measured both: there are {len(first)} and {len(second)} samples")
    if min(first.min(), second.min()) <= 0:
        raise UsageError("a ratio needs samples above 0")
    logs = np.log(first) - np.log(second)
    n = len(logs)
    walsh = np.sort(((logs[:, None] + logs[None, :]) / 2)[np.triu_indices(n)])
    above = float((walsh > 0).sum()) + float((walsh == 0).sum()) / 2
    p = min(1.0, 2 * _below(n, min(above, len(walsh) - above)))
    cut = _cut(n, (1 - level) / 2)
    low, high = (float(walsh[cut]), float(walsh[len(walsh) - 1 - cut])) if n > 1 else (np.nan, np.nan)
    return Ratio(value=float(np.exp(np.median(walsh))), low=float(np.exp(low)), high=float(np.exp(high)), p=p, rounds=n)


def detectable_ratio(a: npt.ArrayLike, b: npt.ArrayLike, *, level: float = 0.05, power: float = 0.8) -> float:
    """Smallest true ratio above 1 that this many rounds would show with probability ``power``.

    From a robust spread of the log-ratios (half their central 68 %) and the efficiency 3 / pi of the signed-rank test
    for normal noise.

    Raises:
        UsageError: as ``paired_ratio``; level or power outside (0, 1).
    """
    spread, n = _spread(a, b)
    return float(np.exp(_distance(level, power) * spread / np.sqrt(n * _EFFICIENCY)))


def rounds_needed(
    a: npt.ArrayLike, b: npt.ArrayLike, *, ratio: float, level: float = 0.05, power: float = 0.8
) -> int:  # fmt: skip
    """Rounds of which ``detectable_ratio`` would be ``ratio``, from the noise of these few.

    Only their spread counts, not which of the two is ahead, so that planning by it favours neither.

    Raises:
        UsageError: as ``detectable_ratio``, or a ratio of 1 or less.
    """
    if not ratio > 1:
        raise UsageError(f"ratio = {ratio} must be above 1: no number of rounds shows that there is no difference")
    spread, _ = _spread(a, b)
    return int(np.ceil((_distance(level, power) * spread / np.log(ratio)) ** 2 / _EFFICIENCY))


def _distance(level: float, power: float) -> float:
    check_share("level", level)
    check_share("power", power)
    return float(ndtri(1 - level / 2) + ndtri(power))


def _spread(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[float, int]:
    """Half of the central 68 % of the log-ratios, and their number."""
    first, second = known(a), known(b)
    if len(first) != len(second) or len(first) == 0:
        raise UsageError(f"a ratio needs rounds that measured both: there are {len(first)} and {len(second)} samples")
    low, high = np.percentile(np.log(first) - np.log(second), [16, 84])
    return float(high - low) / 2, len(first)


@cache
def _distribution(n: int) -> Float64Array:
    """(n (n + 1) / 2 + 1,) P(T <= t) of the signed-rank sum T of n rounds without a difference."""
    weights = np.ones(1)
    for rank in range(1, n + 1):
        shifted = np.concatenate([np.zeros(rank), weights])
        weights = (np.concatenate([weights, np.zeros(rank)]) + shifted) / 2
    return np.cumsum(weights)


def _below(n: int, total: float) -> float:
    if n <= _EXACT:
        return float(_distribution(n)[int(np.floor(total))])
    mean, deviation = n * (n + 1) / 4, np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return float(ndtr((total + 0.5 - mean) / deviation))


def _cut(n: int, tail: float) -> int:
    """How many Walsh averages lie outside the interval at each end."""
    if n <= _EXACT:
        return max(0, int(np.searchsorted(_distribution(n), tail, side="right")) - 1)
    mean, deviation = n * (n + 1) / 4, np.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    return max(0, int(np.floor(mean + ndtri(tail) * deviation - 0.5)))
