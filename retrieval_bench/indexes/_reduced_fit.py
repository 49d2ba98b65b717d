"""Which reduction an index uses, and the arrays made with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs.lvq import Lvq
from retrieval_bench.errors import DataError
from retrieval_bench.indexes._reduced_plan import ProjectionName, Secondary
from retrieval_bench.kernels.scan import CodeArray, Int32Array, padded_dim
from retrieval_bench.projections import (
    Projection,
    fit_eigenvector_search,
    fit_frank_wolfe,
    fit_pca,
    fit_query_aware,
    fit_random_rotation,
)
from retrieval_bench.projections.drift import FEWEST_TRAINING, check_drift, profile_queries
from retrieval_bench.types import FloatArray, Metric

MIDDLE, REACH = 64, 63  # codes are 1 to 127: 64 stands for 0
_CLIPPED = 1e-4  # share of reduced values beyond the grid: rare outliers would make it coarser for all others
_COMPARED, _OTHERS = 2_000, 4_096  # documents set beside the training queries, and those that give the directions
_BLOCK_ROWS = 1 << 14
_LEARNING = {
    "query_aware": fit_query_aware,
    "eigenvector_search": fit_eigenvector_search,
    "frank_wolfe": fit_frank_wolfe,
}


def fit(
    name: ProjectionName, vectors: FloatArray, queries: FloatArray | None, dim: int, *, metric: Metric, seed: int
) -> tuple[Projection, ProjectionName]:
    """A reduction, turned so that one grid serves all its dimensions, and its name.

    Raises:
        DataError: a reduction that learns from queries was asked for, and there are none.
    """
    if name == "auto":
        name = "query_aware" if queries is not None and differ(vectors, queries, seed) else "pca"
    if name == "pca":
        made = fit_pca(vectors, dim, seed=seed)
    elif name == "random_rotation":
        made = fit_random_rotation(vectors, dim, seed=seed)
    elif queries is None:
        raise DataError(f"the projection {name!r} learns from training queries, and there are none; use 'pca'")
    else:
        made = _LEARNING[name](vectors, queries, dim, metric=metric, seed=seed)
    return made.rotated(seed), name


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


def step_of(reduced: FloatArray) -> np.float32:
    """The step of a grid of 127 values that serves all dimensions of the reduced documents.

    Raises:
        DataError: all reduced documents are zero.
    """
    sample = reduced[:: max(1, len(reduced) >> 12)]
    reach = float(np.quantile(np.abs(sample), 1 - _CLIPPED)) or float(np.abs(reduced).max())
    if reach == 0:
        raise DataError("all vectors are the same: nothing tells one from another; use the flat index")
    return np.float32(reach / REACH)


def encode(reduced: FloatArray, step: np.float32, row_of_slot: Int32Array) -> CodeArray:
    """(slots, padded d) uint8 codes of the rows in their slots; those of no row are zero."""
    codes = np.zeros((len(row_of_slot), padded_dim(reduced.shape[1])), np.uint8)
    values = (np.clip(np.rint(reduced / step), -REACH, REACH) + MIDDLE).astype(np.uint8)
    used = row_of_slot >= 0
    codes[used, : reduced.shape[1]] = values[row_of_slot[used]]
    return codes


def half_squares(vectors: FloatArray, mean: FloatArray) -> FloatArray:
    """(n,) half of the squared lengths of centred vectors."""
    blocks = (vectors[start : start + _BLOCK_ROWS] - mean for start in range(0, len(vectors), _BLOCK_ROWS))
    return np.concatenate([np.einsum("nd,nd->n", block, block) / np.float32(2) for block in blocks], dtype=np.float32)


def kept(
    vectors: FloatArray, mean: FloatArray, secondary: Secondary, row_of_slot: Int32Array
) -> dict[str, npt.NDArray[Any]]:
    """What candidates are re-ranked with, in their slots: ``coded`` with its ``grid``, ``originals``, both or none.

    Raises:
        DataError: values that fp16 cannot hold.
    """
    used, rows = row_of_slot >= 0, row_of_slot[row_of_slot >= 0]
    parts: dict[str, npt.NDArray[Any]] = {}
    if secondary in ("lvq8", "lvq8+float32"):
        encoded = Lvq(mean=mean).encode(vectors)
        parts["coded"] = np.zeros((len(row_of_slot), vectors.shape[1]), np.uint8)
        parts["grid"] = np.zeros((len(row_of_slot), 2), np.float32)
        parts["coded"][used], parts["grid"][used] = encoded.codes[rows], encoded.grid[rows]
    if secondary == "fp16" and np.abs(vectors).max() > float(np.finfo(np.float16).max):
        raise DataError("values beyond 65504 do not fit into fp16; use secondary = 'float32' or 'lvq8'")
    if secondary in ("fp16", "float32", "lvq8+float32"):
        dtype = np.float16 if secondary == "fp16" else np.float32
        parts["originals"] = np.zeros((len(row_of_slot), vectors.shape[1]), dtype)
        parts["originals"][used] = vectors[rows]
    return parts
