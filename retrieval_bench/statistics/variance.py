"""Where the spread of a figure comes from: seed, build, machine, repeat."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.samples import vector

RESIDUAL = "repeat"


def variance_components(values: npt.ArrayLike, factors: Mapping[str, Sequence[Hashable]]) -> dict[str, float]:
    """Variance due to each factor and what is left between repeats, by the method of moments.

    Henderson 1953, "Estimation of Variance and Covariance Components", method 1: sums of squares of the groups of every
    factor are set equal to their expectations under a random-effects model and solved for the variances. It is
    unbiased, needs no normal distribution, and serves nested factors (a build within a machine: name its groups apart,
    ``m1/b1``), crossed ones (every seed on every machine) and unequal numbers of repeats. Which of them to randomise
    and report is argued in Bouthillier et al. 2021, "Accounting for Variance in Machine Learning Benchmarks".

    Args:
        values: (n,) figures, such as nDCG or log seconds; no NaN.
        factors: by name, the n groups that the values belong to.

    Returns:
        By factor, in the order given, then ``"repeat"``: the variance, in squared units of the values. An estimate that
        comes out below 0 (a factor without an effect that could be seen) is 0.

    Raises:
        UsageError: a factor with another number of labels, one that does not repeat (every value a group of its own,
            or all one group), factors that cannot be told apart, or fewer than three values.
    """
    y = vector(values)
    n = len(y)
    if n < 3 or np.isnan(y).any():
        raise UsageError(f"variance components need three or more values without NaN, there are {n}")
    groups: list[npt.NDArray[np.int64]] = []
    for name, labels in factors.items():
        if len(labels) != n:
            raise UsageError(f"factor {name!r} has {len(labels)} labels for {n} values")
        numbers = {label: i for i, label in enumerate(dict.fromkeys(labels))}
        if not 1 < len(numbers) < n:
            raise UsageError(
                f"factor {name!r} has {len(numbers)} groups for {n} values: 2 to {n - 1} can be told apart"
            )
        groups.append(np.array([numbers[label] for label in labels]))
    groups.append(np.arange(n))
    y = y - y.mean()
    # Row i: E[SS_i - SS_mean] as weights of each variance. All groups in one is the grand mean.
    grand = np.zeros(n, np.int64)
    weights = np.array([[_weight(i, j) - _weight(grand, j) for j in groups] for i in groups])
    sums = np.array([_sum_of_squares(i, y) for i in groups])  # that of the grand mean is 0, y being centred
    if np.linalg.matrix_rank(weights) < len(groups):
        raise UsageError(f"the factors {', '.join(factors)} vary together: they cannot be told apart")
    found = np.maximum(np.linalg.solve(weights, sums), 0.0)
    return dict(zip([*factors, RESIDUAL], map(float, found), strict=True))


def _sum_of_squares(groups: npt.NDArray[np.int64], y: npt.NDArray[np.float64]) -> float:
    totals, counts = np.bincount(groups, weights=y), np.bincount(groups)
    return float((totals**2 / counts).sum())


def _weight(groups: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> float:
    """``sum over g of (sum over h of n_gh^2) / n_g``: how often the variance of ``others`` enters SS of ``groups``."""
    width = int(others.max()) + 1
    cells, counts = np.unique(groups * width + others, return_counts=True)
    return float((counts.astype(np.float64) ** 2 / np.bincount(groups)[cells // width]).sum())
