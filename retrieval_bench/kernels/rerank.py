"""Scores of each query's candidates by vectors kept more exactly, and the best of them."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from retrieval_bench.kernels import _native
from retrieval_bench.kernels._native import pointer
from retrieval_bench.kernels.scan import Int32Array
from retrieval_bench.types import FloatArray, IntArray, Metric

_KINDS = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.uint8): 2}
_BLOCK_VALUES = 1 << 22  # values of candidates that the numpy form holds at once


def rerank(
    vectors: npt.NDArray[np.generic],
    queries: FloatArray,
    slots: Int32Array,
    k: int,
    *,
    metric: Metric,
    ids: Int32Array | None = None,
    grid: FloatArray | None = None,
) -> tuple[IntArray, FloatArray]:
    """The k best of each query's candidates.

    Args:
        vectors: (slots, d) float32 or float16; or uint8, which stand for ``grid[:, 1] + grid[:, 0] * value``.
        queries: (m, d) float32.
        slots: (m, depth) candidates, -1 padded.
        k: at most depth.
        metric: score by inner product, or under ``l2`` by minus the squared distance.
        ids: (slots,) row that stands in each slot; None: slots are rows.
        grid: (slots, 2) float32 scale and offset of each uint8 vector.

    Returns:
        (m, k) rows and float32 scores: best first, equal scores by ascending row; -1 and -inf pad.
    """
    native = _native.library()
    if native is None:
        return rerank_numpy(vectors, queries, slots, k, metric=metric, ids=ids, grid=grid)
    m, depth = slots.shape
    order = np.argsort(slots[:, 0])  # candidates in common stand near each other
    rows, scores = np.empty((m, k), np.int64), np.empty((m, k), np.float32)
    failed = native.rerank(
        pointer(vectors), _KINDS[vectors.dtype], ctypes.c_int64(vectors.strides[0]), vectors.shape[1], pointer(grid),
        pointer(np.ascontiguousarray(queries)), m, pointer(order), pointer(slots), depth, pointer(ids),
        int(metric == "l2"), k, pointer(rows), pointer(scores),
    )  # fmt: skip
    if failed:
        raise MemoryError(f"no memory for {depth} candidates")
    return rows, scores


def rerank_numpy(
    vectors: npt.NDArray[np.generic],
    queries: FloatArray,
    slots: Int32Array,
    k: int,
    *,
    metric: Metric,
    ids: Int32Array | None = None,
    grid: FloatArray | None = None,
) -> tuple[IntArray, FloatArray]:
    """As ``rerank``; sums are added in another order, so scores can differ by rounding."""
    m, depth = slots.shape
    scores = np.empty((m, depth), np.float32)
    step = max(1, _BLOCK_VALUES // (depth * vectors.shape[1]))
    for start in range(0, m, step):
        part = slice(start, start + step)
        found = vectors[slots[part]].astype(np.float32)
        if grid is not None:
            found = found * grid[slots[part], :1] + grid[slots[part], 1:]
        if metric == "l2":
            scores[part] = -np.square(queries[part, None] - found).sum(axis=2)
        else:
            scores[part] = np.einsum("mcd,md->mc", found, queries[part])
    missing = slots < 0
    scores[missing] = -np.inf
    rows = np.where(missing, np.iinfo(np.int64).max, slots if ids is None else ids[slots])
    order = np.lexsort((rows, -scores), axis=-1)[:, :k]
    rows = np.where(missing, -1, rows)
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
