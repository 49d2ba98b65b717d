"""Sparse matrices of a saved ranker: what each row holds, in which columns, and where each row begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from retrieval_bench.arrays import Sizes, load_array, save_array, unfit


class Postings(NamedTuple):
    """Row i has the values ``data[indptr[i]:indptr[i+1]]`` in the columns ``indices[...]``."""

    data: npt.NDArray[Any]
    indices: npt.NDArray[Any]
    indptr: npt.NDArray[Any]


def save_postings(folder: Path, matrix: Any) -> None:
    """Write a matrix that has the attributes of Postings, such as one of scipy's."""
    for name in Postings._fields:
        save_array(folder / f"{name}.npy", getattr(matrix, name))


def load_postings(folder: Path, rows: int, columns: int) -> Postings:
    """Read what ``save_postings`` wrote of a matrix of this shape.

    Raises:
        ArtifactError: an array is missing or damaged, or they are not such a matrix.
    """
    whole, sizes = (np.int32, np.int64), Sizes()
    starts = load_array(folder / "indptr.npy", whole, (rows + 1,), low=0)
    indices = load_array(folder / "indices.npy", whole, ("values",), sizes, low=0, high=columns)
    data = load_array(folder / "data.npy", None, ("values",), sizes)
    if starts[0] != 0 or starts[-1] != len(data) or bool((np.diff(starts) < 0).any()):
        raise unfit(folder, "the rows of its matrix do not follow one another")
    return Postings(data, indices, starts)
