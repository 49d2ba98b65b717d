"""Scores of each query's candidates by vectors kept more exactly, and the best of them."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.kernels import _native
from retrieval_bench.kernels._native import pointer
from retrieval_bench.kernels.scan import ROWS, Int32Array
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
    centres: FloatArray | None = None,
    cells: Int32Array | None = None,
) -> tuple[IntArray, FloatArray]:
    """The k best of each query's candidates.

    Args:
        vectors: (slots, d) float32; or float16, without the centre of their cell; or uint8, which stand for
            ``grid[:, 1] + grid[:, 0] * value`` without that centre.
        queries: (m, d) float32.
        slots: (m, depth) candidates, -1 padded.
        k: at most depth.
        metric: score by inner product, or under ``l2`` by minus the squared distance.
        ids: (slots,) row that stands in each slot; None: slots are rows.
        grid: (slots, 2) float32 scale and offset of each uint8 vector.
        centres: (cells, d) float32 of vectors that are not float32; None: nothing is added to them.
        cells: (slots / 16,) int32 cell of each group of slots; None: there is one.

    Returns:
        (m, k) rows and float32 scores: best first, also where differences are smaller than a float32 shows; equals by
        ascending row; -1 and -inf pad.
    """
    native = _native.library()
    if native is None:
        return rerank_numpy(vectors, queries, slots, k, metric=metric, ids=ids, grid=grid, centres=centres, cells=cells)
    m, depth = slots.shape
    order = np.argsort(slots[:, 0])  # candidates in common stand near each other
    rows, scores = np.empty((m, k), np.int64), np.empty((m, k), np.float32)
    failed = native.rerank(
        pointer(vectors), _KINDS[vectors.dtype], ctypes.c_int64(vectors.strides[0]), vectors.shape[1], pointer(grid),
        pointer(centres), pointer(cells), pointer(np.ascontiguousarray(queries)), m, pointer(order), pointer(slots),
        depth, pointer(ids), int(metric == "l2"), k, pointer(rows), pointer(scores),
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
    centres: FloatArray | None = None,
    cells: Int32Array | None = None,
) -> tuple[IntArray, FloatArray]:
    """As ``rerank``; sums are added in another order, so scores can differ by rounding."""
    m, depth = slots.shape
    scores = np.empty((m, depth))
    step = max(1, _BLOCK_VALUES // (depth * vectors.shape[1]))
    for start in range(0, m, step):
        part = slice(start, start + step)
        # Originals have the last word, in double, so that nearly parallel vectors keep their order.
        exact = np.float64 if vectors.dtype == np.float32 else np.float32
        found: npt.NDArray[Any] = vectors[slots[part]].astype(exact)
        asked: npt.NDArray[Any] = queries[part].astype(exact)
        if grid is not None:
            found = found * grid[slots[part], :1] + grid[slots[part], 1:]
        if centres is not None and vectors.dtype != np.float32:
            found += centres[0 if cells is None else cells[slots[part] // ROWS]]
        if metric == "l2":
            scores[part] = -np.square(asked[:, None] - found).sum(axis=2)
        else:
            scores[part] = np.einsum("mcd,md->mc", found, asked)
    missing = slots < 0
    scores[missing] = -np.inf
    # As in rerank.c: by how far scores are from the last that is kept, which tells those about the limit apart.
    last = np.minimum(k, np.maximum((~missing).sum(axis=1), 1)) - 1
    limit = np.take_along_axis(-np.sort(-scores.astype(np.float32), axis=1), last[:, None], axis=1).astype(np.float64)
    limit[missing.all(axis=1)] = 0
    if vectors.dtype != np.float32:
        limit[:] = 0
    short = (scores - limit).astype(np.float32)
    rows = np.where(missing, np.iinfo(np.int64).max, slots if ids is None else ids[slots])
    order = np.lexsort((rows, -short), axis=-1)[:, :k]
    found_rows = np.take_along_axis(np.where(missing, -1, rows), order, axis=1)
    return found_rows, (limit + np.take_along_axis(short, order, axis=1)).astype(np.float32)
