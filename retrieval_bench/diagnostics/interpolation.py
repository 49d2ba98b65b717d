"""How a trained ranker does on queries like those it was trained on, and on others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.checks import normalised
from retrieval_bench.errors import UsageError
from retrieval_bench.statistics import mean_interval, unpaired_interval
from retrieval_bench.types import FloatArray

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Generalisation:
    """Means with their 95 % intervals over the nearest and the farthest queries, and the interval of the drop."""

    interpolation: float
    interpolation_interval: tuple[float, float]
    extrapolation: float
    extrapolation_interval: tuple[float, float]
    drop_interval: tuple[float, float]
    n: int


def similarity_to_training(test: FloatArray, train: FloatArray) -> Float64Array:
    """(m,) cosine similarity of each test query (m, d) to the nearest training query (t, d)."""
    known = normalised(train)
    parts = [(normalised(test[i : i + 512]) @ known.T).max(axis=1) for i in range(0, len(test), 512)]
    return np.concatenate(parts).astype(np.float64)


def generalisation(values: npt.ArrayLike, similarity: npt.ArrayLike, *, share: float = 0.3) -> Generalisation:
    """Resample the test queries into those nearest to the training queries and those farthest from them.

    Zhan et al. 2022, "Evaluating Interpolation and Extrapolation Performance of Neural Retrieval Models" (CIKM): one
    mean over both is mostly interpolation, because test sets are drawn like training sets.

    Args:
        values: (m,) per-query values; NaN is left out.
        similarity: (m,) as ``similarity_to_training`` gives it.
        share: of the queries in each of the two, at most one half.

    Raises:
        UsageError: different lengths, a share outside (0, 0.5], or fewer than two queries in each.
    """
    value, near = np.asarray(values, np.float64), np.asarray(similarity, np.float64)
    if value.shape != near.shape or not 0 < share <= 0.5:
        raise UsageError(f"{len(value)} values, {len(near)} similarities and a share of {share:g} do not go together")
    there = ~np.isnan(value)
    value, near = value[there], near[there]
    n = int(share * len(value))
    if n < 2:
        raise UsageError(f"{len(value)} queries are too few for two parts of {share:.0%}")
    order = np.argsort(-near, kind="stable")
    inside, outside = value[order[:n]], value[order[-n:]]
    return Generalisation(
        interpolation=float(inside.mean()), interpolation_interval=mean_interval(inside),
        extrapolation=float(outside.mean()), extrapolation_interval=mean_interval(outside),
        drop_interval=unpaired_interval(inside, outside), n=n,
    )  # fmt: skip
