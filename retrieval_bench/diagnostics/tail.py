"""The worst queries, which a mean hides and users remember."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrieval_bench.statistics import percentile_interval
from retrieval_bench.statistics.samples import check_share, known


def robustness(values: npt.ArrayLike, delta: float) -> float:
    """Robustness-delta@k: the share of queries whose recall@k is at least delta.

    Wang et al. 2025, "Towards Robustness: A Critique of Current Vector Database Assessments" (arXiv 2507.00379). Two
    indexes of one mean recall differ in it when one fails some queries altogether.

    Args:
        values: (m,) recall of each query; NaN is left out.
        delta: in (0, 1].

    Raises:
        UsageError: delta out of range, infinite values.
    """
    if delta != 1.0:
        check_share("delta", delta)
    recall = known(values)
    return float((recall >= delta).mean()) if len(recall) else float("nan")


def worst(
    values: npt.ArrayLike, percentiles: Sequence[float] = (1, 5, 10, 25)
) -> list[tuple[float, float, float, float]]:
    """Low percentiles of per-query values: (percentile, value, low, high), the ends being its 95 % interval."""
    sample = known(values)
    return [(p, float(np.percentile(sample, p)), *percentile_interval(sample, p)) for p in percentiles]
