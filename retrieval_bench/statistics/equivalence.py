"""Whether one system is as good as another within a margin: absence of a difference has to be shown, not assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.paired import difference_interval, one_sided_test
from retrieval_bench.statistics.samples import check_share, vector


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """The answer to "is a as good as b, within a margin?".

    Attributes:
        margin: share of b's mean that a may differ by.
        p_not_worse: p-value of "a is worse than b by the margin or more".
        p_not_better: p-value of "a is better than b by the margin or more".
        low: lower end of the interval of ``mean(a) - mean(b)`` at ``1 - 2 level``, which the tests correspond to.
        high: its upper end.
        level: error allowed to a claim of equivalence.
    """

    margin: float
    p_not_worse: float
    p_not_better: float
    low: float
    high: float
    level: float

    @property
    def not_worse(self) -> bool:
        """Whether a is shown to be worse than b by less than the margin (it may be better)."""
        return self.p_not_worse <= self.level

    @property
    def equivalent(self) -> bool:
        """Whether a is shown to differ from b by less than the margin, in either direction."""
        return max(self.p_not_worse, self.p_not_better) <= self.level


def equivalence_test(
    a: npt.ArrayLike, b: npt.ArrayLike, *, margin: float, level: float = 0.05, resamples: int = 10_000, seed: int = 0
) -> Equivalence:
    """Two one-sided paired randomization tests of equivalence (TOST; Schuirmann 1987).

    "Within 1 %" is a statement about the ratio of the means. It is tested as one about the means of ``a - 0.99 b`` and
    ``a - 1.01 b``, so that the uncertainty of b's mean counts too.

    Args:
        a: (n,) values of the system in question; a query where either is NaN is left out.
        b: (n,) values of the system that it is to equal, for the same queries; their mean must be above 0.
        margin: share of b's mean, in (0, 1).
        level: error of each claim.
        resamples: sign assignments drawn.
        seed: of the draws.

    Raises:
        UsageError: infinite values, vectors of different lengths, margin or level outside (0, 1).
    """
    check_share("margin", margin)
    check_share("level", level)
    first, second = vector(a), vector(b)
    if len(first) != len(second):
        raise UsageError(f"paired values must be of the same queries: there are {len(first)} and {len(second)}")
    low, high = difference_interval(first, second, level=1 - 2 * level, seed=seed)
    return Equivalence(
        margin=margin,
        p_not_worse=one_sided_test(first, (1 - margin) * second, resamples=resamples, seed=seed),
        p_not_better=one_sided_test((1 + margin) * second, first, resamples=resamples, seed=seed),
        low=low,
        high=high,
        level=level,
    )
