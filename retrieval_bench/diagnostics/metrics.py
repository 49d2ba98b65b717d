"""Whether metrics agree about systems, and how large a difference must be to be believed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics import kendall_tau

Float64Array = npt.NDArray[np.float64]


def agreement(means: Mapping[str, npt.ArrayLike]) -> dict[tuple[str, str], float]:
    """Kendall's tau between the rankings of the same systems by each pair of metrics.

    Args:
        means: by metric, (s,) means of s systems.
    """
    return {(a, b): kendall_tau(means[a], means[b]) for a, b in combinations(means, 2)}


def believable_difference(values: npt.ArrayLike, *, error: float = 0.05, splits: int = 200, seed: int = 0) -> float:
    """Smallest difference of two means that another set of as many queries seldom turns round.

    The swap method (Voorhees and Buckley 2002, "The Effect of Topic Set Size on Retrieval Experiment Error"): the
    queries are halved again and again; how often do the halves disagree about which of two systems is better, by the
    size of the difference on the first half? It speaks of half as many queries as there are: it errs on the safe side.

    Args:
        values: (s, m) per-query values of s systems, without NaN.
        error: share of disagreements allowed.
        splits: halvings.
        seed: of the halvings.

    Returns:
        In the unit of the values; infinite where even the largest differences are turned round more often.

    Raises:
        UsageError: fewer than two systems or four queries, or NaN.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or table.shape[0] < 2 or table.shape[1] < 4 or np.isnan(table).any():
        raise UsageError(f"values must be (systems >= 2, queries >= 4) without NaN, not {table.shape}")
    rng = np.random.default_rng(seed)
    first, second = np.array(list(combinations(range(len(table)), 2))).T
    sizes, swapped = [], []
    for _ in range(splits):
        order = rng.permutation(table.shape[1])
        half = len(order) // 2
        a, b = table[:, order[:half]].mean(axis=1), table[:, order[half : 2 * half]].mean(axis=1)
        here, there = a[first] - a[second], b[first] - b[second]
        sizes.append(np.abs(here))
        swapped.append(here * there < 0)
    size, swap = np.concatenate(sizes), np.concatenate(swapped)
    order = np.argsort(-size)
    rate = np.cumsum(swap[order]) / np.arange(1, len(order) + 1)  # among differences at least so large
    fine = np.flatnonzero(rate <= error)
    return float(size[order][fine[-1]]) if len(fine) else float("inf")
