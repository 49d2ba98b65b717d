"""The best of scored rows, with the ties that Hits asks for."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from retrieval_bench.types import FloatArray

Rows = TypeVar("Rows", bound=npt.NDArray[np.integer[Any]])


def top_rows(rows: Rows, scores: FloatArray, k: int) -> tuple[Rows, FloatArray]:
    """The k rows of greatest score, in ascending order of row; of equal scores at the edge the first rows.

    Args:
        rows: (r,) ascending.
        scores: (r,) float32, one per row.
        k: at most so many.
    """
    if len(rows) <= k:
        return rows, scores
    least = np.partition(scores, -k)[-k]
    above, ties = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
    kept = np.concatenate([above, ties[: k - len(above)]])
    return cast("Rows", rows[kept]), scores[kept]
