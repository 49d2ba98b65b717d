"""Which reduction an index uses, and the arrays made with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs.lvq import Lvq
from retrieval_bench.errors import DataError
from retrieval_bench.indexes._cells import Cells
from retrieval_bench.indexes._reduced_place import Places
from retrieval_bench.indexes._reduced_plan import Layout, ProjectionName, Secondary
from retrieval_bench.kernels.scan import ROWS, CodeArray, packed, padded_dim
from retrieval_bench.projections import (
    Projection,
    fit_eigenvector_search,
    fit_frank_wolfe,
    fit_pca,
    fit_query_aware,
    fit_random_rotation,
    sampled,
)
from retrieval_bench.projections.drift import FEWEST_TRAINING, check_drift, profile_queries
from retrieval_bench.types import FloatArray, Metric

MIDDLE, REACH = 64, 63  # codes are 1 to 127: 64 stands for 0
_CLIPPED = 1e-4  # share of reduced values beyond the grid: rare outliers would make it coarser for all others
_COMPARED, _OTHERS = 2_000, 4_096  # documents set beside the training queries, and those that give the directions
_LEARNING = {
    "query_aware": fit_query_aware,
    "eigenvector_search": fit_eigenvector_search,
    "frank_wolfe": fit_frank_wolfe,
}


def fit(
    name: ProjectionName,
    vectors: FloatArray,
    queries: FloatArray | None,
    dim: int,
    *,
    metric: Metric,
    seed: int,
    center: bool = True,
) -> tuple[Projection, ProjectionName]:
    """A reduction, turned so that one grid serves all its dimensions, and its name.

    Raises:
        DataError: a reduction that learns from queries was asked for, and there are none.
    """
    name = named(name, vectors, queries, seed)
    if name == "pca":
        made = fit_pca(vectors, dim, seed=seed, center=center)
    elif name == "random_rotation":
        made = fit_random_rotation(vectors, dim, seed=seed, center=center)
    elif queries is None:
        raise DataError(f"the projection {name!r} learns from training queries, and there are none; use 'pca'")
    else:
        made = _LEARNING[name](vectors, queries, dim, metric=metric, seed=seed, center=center)
    return made.rotated(seed), name


def fit_within(
    name: ProjectionName, vectors: FloatArray, cells: Cells, queries: FloatArray | None, layout: Layout, *, seed: int
) -> tuple[Projection, ProjectionName]:
    """``fit`` for rows without their centres, and queries as they are coded for the nearest of these."""
    name = named(name, vectors, queries, seed)
    numbers = sampled(np.arange(len(vectors)), seed)
    rows = vectors[numbers] - cells.centres[cells.of_row[numbers]]
    asked = None if queries is None else nearest_form(sampled(queries, seed), cells.centres, layout)
    return fit(name, rows, asked, layout.dim, metric="ip", seed=seed, center=False)


def named(name: ProjectionName, vectors: FloatArray, queries: FloatArray | None, seed: int) -> ProjectionName:
    """The projection that ``auto`` stands for: query_aware where training queries differ from the documents."""
    if name != "auto":
        return name
    return "query_aware" if queries is not None and differ(vectors, queries, seed) else "pca"


def along(queries: FloatArray, centres: FloatArray, layout: Layout) -> FloatArray:
    """(m, cells) how much of each centre is taken from a query before it is coded.

    ``<q, x> = <q - t c, x - c> + t <c, x - c> + <q, c>`` for any t. The error of coded queries grows with the length of
    ``q - t c``, which is least for ``t = <q, c> / <c, c>``. Under l2 t is 1.
    """
    if layout.metric == "l2":
        return np.ones((len(queries), len(centres)), np.float32)
    if not layout.biased:
        return np.zeros((len(queries), len(centres)), np.float32)
    squares = np.einsum("cd,cd->c", centres, centres)
    return np.asarray((queries @ centres.T) / np.maximum(squares, np.finfo(np.float32).tiny), np.float32)


def nearest_form(queries: FloatArray, centres: FloatArray, layout: Layout) -> FloatArray:
    """(m, D) queries without what is taken from them for the cell that is nearest to each."""
    if len(centres) == 1:
        nearest = np.zeros(len(queries), np.intp)
    else:
        near = queries @ centres.T
        if layout.metric == "l2":
            near -= np.einsum("cd,cd->c", centres, centres) / 2
        nearest = near.argmax(axis=1)
    share = np.take_along_axis(along(queries, centres, layout), nearest[:, None], axis=1)
    return np.asarray(queries - share * centres[nearest], np.float32)


def differ(vectors: FloatArray, queries: FloatArray, seed: int) -> bool:
    """Whether training queries are distributed otherwise than the documents, as a drift test tells.

    Of fewer than 40 queries nothing can be told; they count as alike.
    """
    if min(len(vectors) // 2, len(queries)) < FEWEST_TRAINING:
        return False
    # Documents that gave the directions lie in them better than others: those compared are held out.
    order = np.random.default_rng(seed).permutation(len(vectors))
    compared, others = np.split(order, [min(_COMPARED, len(vectors) // 2)])
    rest = vectors[np.sort(others[:_OTHERS])]
    return check_drift(profile_queries(rest, vectors[compared], seed=seed), queries).drifted


def reduced(vectors: FloatArray, cells: Cells, projection: Projection) -> FloatArray:
    """(n, d) float32 rows without their centres, reduced."""
    found = np.empty((len(vectors), projection.dim), np.float32)
    for rows, block in cells.blocks(vectors):
        found[rows] = block @ projection.database
    return found


def step_of(rows: FloatArray) -> np.float32:
    """The step of a grid of 127 values that serves all dimensions of the reduced documents."""
    sample = rows[:: max(1, len(rows) >> 12)]
    reach = float(np.quantile(np.abs(sample), 1 - _CLIPPED)) or float(np.abs(rows).max())
    return np.float32(reach / REACH or 1)


def encoded(
    rows: FloatArray, step: np.float32 | None, row_of_slot: npt.NDArray[np.int32]
) -> tuple[CodeArray, FloatArray | None]:
    """Codes of reduced rows in their slots, packed, and the step of each slot where there is none for all.

    A slot of no row has codes of zero.
    """
    slots, used = len(row_of_slot), row_of_slot >= 0
    steps = np.abs(rows).max(axis=1) / np.float32(REACH) if step is None else step
    inverse = np.divide(1, steps, out=np.zeros(np.shape(steps), np.float32), where=np.asarray(steps) > 0)
    values = np.clip(np.rint(rows * np.expand_dims(inverse, -1)), -REACH, REACH) + MIDDLE
    codes = np.zeros((slots, padded_dim(rows.shape[1])), np.uint8)
    codes[used, : rows.shape[1]] = values.astype(np.uint8)[row_of_slot[used]]
    return packed(codes), in_slots(np.asarray(steps), row_of_slot) if step is None else None


def in_slots(values: npt.NDArray[Any], row_of_slot: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Values of rows in the rows' slots, zero in the others."""
    found = np.zeros((len(row_of_slot), *values.shape[1:]), values.dtype)
    used = row_of_slot >= 0
    found[used] = values[row_of_slot[used]]
    return found


def bias(vectors: FloatArray, cells: Cells, layout: Layout) -> FloatArray:
    """(n,) what a row adds to its score: minus half its squared length, or its product with its centre (``along``)."""
    if layout.metric == "l2":
        return np.asarray(np.square(cells.lengths) / np.float32(-2), np.float32)
    return cells.along(vectors)


def kept(vectors: FloatArray, cells: Cells, secondary: Secondary, places: Places) -> dict[str, npt.NDArray[Any]]:
    """What candidates are re-ranked with, in their slots: ``coded`` with its ``grid``, ``originals``, both or none.

    Raises:
        DataError: values that fp16 cannot hold.
    """
    n, d = vectors.shape
    parts: dict[str, npt.NDArray[Any]] = {}
    if secondary in ("lvq8", "lvq8+float32"):
        coding, codes, grid = (
            Lvq(mean=np.zeros(d, np.float32)),
            np.empty((n, d), np.uint8),
            np.empty((n, 2), np.float32),
        )
        for rows, block in cells.blocks(vectors):
            made = coding.encode(block)
            codes[rows], grid[rows] = made.codes, made.grid
        parts = {"coded": in_slots(codes, places.row_of_slot), "grid": in_slots(grid, places.row_of_slot)}
    if secondary == "fp16":
        halves = np.empty((n, d), np.float16)
        for rows, block in cells.blocks(vectors):
            if np.abs(block).max() > float(np.finfo(np.float16).max):
                raise DataError("values beyond 65504 do not fit into fp16; use secondary = 'float32' or 'lvq8'")
            halves[rows] = block
        parts["originals"] = in_slots(halves, places.row_of_slot)
    if secondary in ("float32", "lvq8+float32"):
        parts["originals"] = in_slots(vectors, places.row_of_slot)
    return parts


def centroids(
    rows: FloatArray, own: FloatArray | None, step: np.float32 | None, layout: Layout, places: Places
) -> dict[str, npt.NDArray[Any] | None]:
    """The lists' centres, coded as their reduced rows (n, d) are, with what stands beside them.

    Args:
        rows: reduced, without their centres.
        own: (n,) the rows' bias, or None.
        step: of the codes.
        layout: what is kept.
        places: of the rows.
    """
    sizes = np.maximum(places.rows, 1)
    order = np.argsort(places.list_of_row, kind="stable")
    filled = np.flatnonzero(places.rows)
    first = (np.cumsum(places.rows) - places.rows)[filled]
    middles = np.zeros((len(sizes), rows.shape[1]), np.float32)
    middles[filled] = np.add.reduceat(rows[order], first) / sizes[filled, None]
    seats = np.full(-(-len(sizes) // ROWS) * ROWS, -1, np.int32)
    seats[filled] = filled
    codes, scale = encoded(middles, step, seats)
    beside = None
    if own is not None and layout.metric == "l2":
        beside = -np.square(middles).sum(axis=1) / np.float32(2)
    elif own is not None:
        beside = (np.bincount(places.list_of_row, own, len(sizes)) / sizes).astype(np.float32)
    return {
        "centroids": codes,
        "centroid_scale": scale,
        "centroid_bias": None if beside is None else in_slots(beside, seats),
    }
