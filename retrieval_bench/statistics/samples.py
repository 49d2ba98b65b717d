"""What the functions of this package accept as samples and as a confidence level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import UsageError

Float64Array = npt.NDArray[np.float64]


def vector(samples: npt.ArrayLike) -> Float64Array:
    """The samples as (n,) float64.

    Raises:
        UsageError: not one-dimensional, or an infinite value among them.
    """
    values = np.asarray(samples, np.float64)
    if values.ndim != 1:
        raise UsageError(f"samples must have the shape (n,), not {values.shape}")
    if np.isinf(values).any():
        raise UsageError("samples hold an infinite value: an interval of them has no meaning")
    return values


def known(samples: npt.ArrayLike) -> Float64Array:
    """The samples as (n,) float64 without NaN, which stands for "no value" (a query without judgments)."""
    values = vector(samples)
    return values[~np.isnan(values)]


def check_share(name: str, value: float) -> None:
    """Refuse a level or power outside (0, 1).

    Raises:
        UsageError: names the argument.
    """
    if not 0.0 < value < 1.0:
        raise UsageError(f"{name} = {value} must lie between 0 and 1, both excluded")


def check_resamples(resamples: int) -> None:
    """Refuse fewer than one resample.

    Raises:
        UsageError: says how many were asked for.
    """
    if resamples < 1:
        raise UsageError(f"resamples = {resamples} must be at least 1")
