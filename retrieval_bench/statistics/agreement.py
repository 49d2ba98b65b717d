"""How far two rankings of the same systems agree."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.samples import vector


def kendall_tau(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Kendall's tau-b (1945): pairs ranked alike minus pairs ranked apart, ties taken into account.

    Args:
        a: (s,) values of s systems by one metric.
        b: (s,) by the other; a system where either is NaN is left out.

    Returns:
        In [-1, 1]; NaN when one side ties all systems or there are fewer than two.

    Raises:
        UsageError: different numbers of systems, or an infinite value.
    """
    first, second = vector(a), vector(b)
    if len(first) != len(second):
        raise UsageError(f"rankings of {len(first)} and {len(second)} systems cannot be compared")
    there = ~(np.isnan(first) | np.isnan(second))
    first, second = first[there], second[there]
    upper = np.triu_indices(len(first), 1)
    x = np.sign(first[:, None] - first[None, :])[upper]
    y = np.sign(second[:, None] - second[None, :])[upper]
    untied = float(np.abs(x).sum()) * float(np.abs(y).sum())
    return float((x * y).sum() / np.sqrt(untied)) if untied else float("nan")
