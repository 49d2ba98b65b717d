"""The matrix that leads into a codec's working space, kept in half precision because its bytes count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays
from retrieval_bench.errors import DataError
from retrieval_bench.types import FloatArray

if TYPE_CHECKING:
    from retrieval_bench.projections import Projection

HALF = 2  # bytes of a float16


def half(values: npt.NDArray[np.floating[Any]], *, what: str) -> npt.NDArray[np.float16]:
    """The values as float16.

    Raises:
        DataError: a value is beyond its range.
    """
    if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
        raise DataError(f"{what}: values beyond 65,504 do not fit into half precision; scale the vectors down")
    return np.ascontiguousarray(values, np.float16)


def basis_bytes(d: int, rank: int) -> int:
    """Bytes of the basis of a reduction to ``rank`` dimensions; none where nothing is reduced."""
    return 0 if rank == d else HALF * d * rank


def components(vectors: FloatArray, rank: int, seed: int) -> Projection:
    """The leading principal components of centred vectors.

    What fits them is imported here: a process that only answers queries does without scipy's linear algebra.
    """
    from retrieval_bench.projections import fit_pca

    return fit_pca(vectors, rank, seed=seed, center=False)


def principal(vectors: FloatArray, rank: int, seed: int) -> Arrays:
    """The table ``basis`` (d, rank) of leading principal components of centred vectors; no table where rank is d."""
    if rank == vectors.shape[1]:
        return {}
    return {"basis": half(components(vectors, rank, seed).database, what="basis")}
