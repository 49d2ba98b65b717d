"""When a repeated measurement may stop: once its median is known closely enough."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.intervals import median_interval
from retrieval_bench.statistics.samples import check_share, known


def enough(samples: npt.ArrayLike, *, target: float = 0.05, minimum: int = 3, level: float = 0.95) -> bool:
    """Whether the median of the samples is known within ``target``, so that no further repeat is needed.

    The rule is one of precision (repeat until the interval is narrow; Kalibera and Jones 2013, "Rigorous Benchmarking
    in Reasonable Time"), not of significance: it never looks at which system is ahead, so stopping does not favour one.
    Fewer than six samples are judged by their full range (see ``median_interval``).

    Args:
        samples: (n,) repeats so far, in any unit; NaN is left out.
        target: half-width of the median's interval, relative to the median.
        minimum: repeats made in any case.
        level: confidence of the interval.

    Returns:
        True when the measurement may stop.

    Raises:
        UsageError: infinite values, target <= 0, minimum < 2, level outside (0, 1).
    """
    check_share("level", level)
    if not target > 0.0:
        raise UsageError(f"target = {target} must be above 0")
    if minimum < 2:
        raise UsageError(f"minimum = {minimum}: one repeat says nothing about the spread, at least 2 are needed")
    values = known(samples)
    if len(values) < minimum:
        return False
    low, high = median_interval(values, level=level)
    return (high - low) / 2 <= target * abs(float(np.median(values)))
