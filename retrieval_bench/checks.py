"""Checks that read every value, run once where data enters. Each error names the source and the way to mend it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError
from retrieval_bench.given import given_number
from retrieval_bench.types import Corpus, FloatArray, Metric, RowIds

_BLOCK_VALUES = 1 << 24  # values looked at together: bounds the temporary memory of a pass


def check_vectors(vectors: npt.NDArray[np.generic], *, source: str, metric: Metric, dim: int | None = None) -> None:
    """Refuse vectors that no index can serve.

    Args:
        vectors: (n, d) of any real dtype.
        source: file or argument to name in the error.
        metric: zero rows are refused under ``cos`` only.
        dim: required d, or None for any.

    Raises:
        DataError: wrong shape or dimension, empty, NaN or infinite values, a zero row under ``cos``.
    """
    if vectors.ndim != 2:
        raise DataError(f"{source}: vectors must have the shape (n, d), not {vectors.shape}")
    n, d = vectors.shape
    if n == 0 or d == 0:
        raise DataError(f"{source}: holds no vectors (shape {vectors.shape})")
    if dim is not None and d != dim:
        raise DataError(f"{source}: vectors have {d} dimensions, {dim} are needed")
    for start, block in blocks(vectors):
        if np.issubdtype(block.dtype, np.floating):
            finite = np.isfinite(block).all(axis=1)
            if not finite.all():
                row = start + int(np.argmin(finite))
                raise DataError(f"{source}: row {row} holds a NaN or infinite value; remove or repair that vector")
        if metric == "cos":
            zero = ~block.any(axis=1)
            if zero.any():
                row = start + int(np.argmax(zero))
                raise DataError(
                    f"{source}: row {row} is a zero vector, which has no direction under 'cos'; "
                    "remove it, or use another metric (--metric ip or --metric l2)"
                )


def check_ids(ids: Sequence[str], *, source: str, what: str) -> None:
    """Refuse an empty collection and ids that occur twice.

    Raises:
        DataError: names the first duplicate.
    """
    if len(ids) == 0:
        raise DataError(f"{source}: holds no {what}")
    if isinstance(ids, RowIds) or len(set(ids)) == len(ids):
        return
    double = next(i for i, count in Counter(ids).items() if count > 1)
    raise DataError(f"{source}: the {what} id {double!r} occurs more than once; ids must be unique")


def check_k(k: int, corpus: Corpus | int) -> int:
    """Refuse k < 1 and k > n; returns k, of whatever integer type it is, as Python's.

    Raises:
        UsageError: says which k can be asked for.
    """
    n = corpus if isinstance(corpus, int) else len(corpus)
    return given_number(k, what="k", low=1, high=n, mend=f"cannot be answered: ask for 1 to {n} of the {n} documents")


def normalised(vectors: npt.NDArray[Any]) -> FloatArray:
    """Rows of (n, d) scaled to length 1, as a new float32 array; computed in float64 so that scales cannot overflow."""
    result = np.empty(vectors.shape, np.float32)
    for start, part in blocks(vectors):
        block = part.astype(np.float64)
        if part.dtype.itemsize > 4:  # squares of float64 may leave its range
            block /= np.abs(block).max(axis=1, keepdims=True)
        result[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return result


def blocks(vectors: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    """Runs of rows (b, d) with the number of their first, small enough to work on in memory."""
    step = max(1, _BLOCK_VALUES // vectors.shape[1])
    for start in range(0, len(vectors), step):
        yield start, vectors[start : start + step]
