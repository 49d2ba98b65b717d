"""Choosing candidates and scoring them again on more of their dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.types import FloatArray, IntArray, Metric

_GATHERED = 1 << 20  # values gathered together: 4 MiB of float32, so that a block stays in the cache


def best(scores: FloatArray, k: int) -> IntArray:
    """Columns (m, k) of the k highest scores (m, any) of each row, in no order."""
    width = scores.shape[1]
    if k >= width:
        return np.broadcast_to(np.arange(width), scores.shape)
    return np.argpartition(scores, width - k, axis=1)[:, width - k :]


def pair_scores(
    asked: FloatArray,
    vectors: npt.NDArray[Any],
    positions: IntArray,
    metric: Metric,
    *,
    scale: FloatArray | None = None,
) -> FloatArray:
    """Scores (m, c) of the vectors (n, w) at positions (m, c) for queries (m, w); both may be any slice of dimensions.

    Inner products and squared distances are sums over dimensions, so what a prefix scored needs only the rest added.
    ``scale`` (w,) multiplies the vectors. Positions of -1 score as the last vector does: the caller leaves them out.
    """
    scores = np.empty(positions.shape, np.float32)
    step = max(1, _GATHERED // max(1, positions.shape[1] * vectors.shape[1]))
    for start in range(0, len(asked), step):
        some = slice(start, start + step)
        gathered = vectors[positions[some]].astype(np.float32, copy=False)
        if scale is not None:
            gathered *= scale
        if metric == "l2":
            gathered -= asked[some, None]
            scores[some] = -np.einsum("mcw,mcw->mc", gathered, gathered)
        else:
            scores[some] = np.matmul(gathered, asked[some, :, None])[..., 0]
    return scores


def top(rows: IntArray, scores: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The k best of candidates (m, c), c >= k, in descending order; rows of -1 come last, with the score -inf."""
    scores = np.where(rows < 0, np.float32(-np.inf), scores)
    columns = best(scores, k)
    rows, scores = np.take_along_axis(rows, columns, axis=1), np.take_along_axis(scores, columns, axis=1)
    order = np.argsort(-scores, axis=1)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def prefixes(kept: int) -> list[int]:
    """All dimensions, a half, a quarter ... down to a sixteenth of them."""
    return sorted({-(-kept >> shift) for shift in range(5)})
