"""Recall of exact neighbors, where a tie with the last of them counts as found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.quality.judged import BoolArray, Float64Array
from retrieval_bench.quality.lookup import locate
from retrieval_bench.types import Hits, IntArray

TOLERANCE = 1e-5
"""Relative to the k-th exact score, so that it means the same for tiny and for huge values: about 80 units in the last
place of float32, which covers the rounding of a dot product of some hundred terms summed in another order. Never
absolute: a frame refuses data whose scores float32 cannot hold. ann-benchmarks allows 1e-3 of the distance."""


def outside_exact(rows: IntArray, exact: Hits, k: int) -> BoolArray:
    """Which returned rows are not among the exact top k, so that ``neighbor_recall`` needs their true score.

    Args:
        rows: (m, any) int64 returned rows, best first, -1 where padded.
        exact: exact answers, at least k deep.
        k: how many neighbors count.

    Returns:
        (m, min(k, width of rows)) bool.

    Raises:
        UsageError: ``exact`` is not k deep, or k < 1.
        DataError: rows and exact answers of different numbers of queries.
    """
    top = rows[:, :k]
    return (top >= 0) & ~_among_exact(top, exact, k)


def neighbor_recall(rows: IntArray, exact: Hits, k: int, true_scores: npt.NDArray[np.floating]) -> Float64Array:
    """Share of the k exact neighbors that were found, by query.

    A returned row counts when it is among the exact top k, or when its true score reaches the k-th exact score within
    ``TOLERANCE``: equally near rows are equally right, whichever of them the exact search kept (Aumüller et al. 2020,
    ANN-Benchmarks). The same row twice counts once.

    Args:
        rows: (m, any) int64 returned rows, best first, -1 where padded; the first k are looked at.
        exact: exact answers, at least k deep; an answer padded before k has fewer neighbors to find.
        k: how many neighbors count.
        true_scores: (m, min(k, width of rows)) float, scores of the returned rows computed exactly in the convention
            of ``Hits`` (higher is better). Read only where ``outside_exact`` holds.

    Returns:
        (m,) float64 in [0, 1]; NaN where the query has no exact neighbor at all.

    Raises:
        UsageError: ``exact`` is not k deep, or k < 1.
        DataError: shapes that do not go together.
    """
    top = rows[:, :k]
    if true_scores.shape != top.shape:
        raise DataError(f"true scores have shape {true_scores.shape}, the returned rows {top.shape}")
    among = _among_exact(top, exact, k)
    to_find = (exact.rows[:, :k] >= 0).sum(axis=1)
    last = np.take_along_axis(exact.scores, np.maximum(to_find - 1, 0)[:, None], axis=1).astype(np.float64)
    tied = true_scores >= last - TOLERANCE * np.abs(last)
    found = ((among | tied) & (top >= 0) & ~_repeated(top)).sum(axis=1)
    return np.where(to_find > 0, np.minimum(found, to_find) / np.maximum(to_find, 1), np.nan)


def _among_exact(top: IntArray, exact: Hits, k: int) -> BoolArray:
    if not 1 <= k <= exact.rows.shape[1]:
        raise UsageError(f"k = {k} neighbors cannot be compared: the exact answers are {exact.rows.shape[1]} deep")
    if len(top) != len(exact.rows):
        raise DataError(f"answers to {len(top)} queries do not go with exact answers to {len(exact.rows)}")
    neighbors = exact.rows[:, :k]
    present = neighbors >= 0
    offsets = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return locate(top, offsets, neighbors[present]) >= 0


def _repeated(top: IntArray) -> BoolArray:
    order = np.argsort(top, axis=1, kind="stable")
    ordered = np.take_along_axis(top, order, axis=1)
    repeated = np.zeros(top.shape, np.bool_)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return repeated
