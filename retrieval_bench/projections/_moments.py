"""Second moments of vectors, and of query samples too small to show them all."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from retrieval_bench.device.presence import gpu
from retrieval_bench.projections._projection import Float64Array
from retrieval_bench.types import FloatArray

if TYPE_CHECKING:
    import torch

A = TypeVar("A", bound=npt.NDArray[Any])
_BLOCK_ROWS = 1 << 12
_MOST_ROWS = 1 << 14  # moments of some hundred dimensions do not change visibly with more
_LONG = 8  # times the median length: from there on a row counts no more
_LEAST_SHRINKAGE = 1e-5  # keeps a square root invertible where all queries lie in fewer dimensions


def sampled(vectors: A, seed: int) -> A:
    """The rows, or ``2^14`` of them drawn with the seed, in order."""
    if len(vectors) <= _MOST_ROWS:
        return vectors
    chosen = np.sort(np.random.default_rng(seed).choice(len(vectors), _MOST_ROWS, replace=False))
    return cast("A", vectors[chosen])


def centre(vectors: FloatArray, *, wanted: bool = True) -> FloatArray:
    """The mean row (D,) float32, or zeros where centering is not wanted.

    A few very long rows do not move it: where there are any, it is the mean of rows that were shortened towards the
    median of each dimension.
    """
    if not wanted:
        return np.zeros(vectors.shape[1], np.float32)
    mean = np.asarray(np.mean(vectors, axis=0, dtype=np.float64), np.float32)
    centred = vectors - mean
    if shortened(centred) is centred:
        return mean
    middle = np.asarray(np.median(vectors, axis=0), np.float32)
    return np.asarray(middle + shortened(vectors - middle).mean(axis=0, dtype=np.float64), np.float32)


def shortened(rows: FloatArray, typical: FloatArray | None = None) -> FloatArray:
    """Centred rows (n, D), those of more than eight times the median length cut to that.

    What is learned from rows by least squares is learned from the longest of them alone, where these are much longer
    than the others. The same array comes back where no row is.

    Args:
        rows: to be shortened.
        typical: rows whose median length counts; None: these.
    """
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    among = lengths if typical is None else np.sqrt(np.einsum("nd,nd->n", typical, typical))
    among = among[among > 0]
    limit = np.float32(_LONG * np.median(among)) if len(among) else np.float32(0)
    if lengths.max(initial=0) <= limit:
        return rows
    shares = np.minimum(np.float32(1), limit / np.maximum(lengths, limit))
    return np.asarray(rows * shares[:, None], rows.dtype)


def second_moment(vectors: FloatArray, mean: FloatArray | None = None) -> Float64Array:
    """``(X - mean)'(X - mean) / n`` of (n, D), very long rows shortened, as (D, D) float64."""
    d = vectors.shape[1]
    total = np.zeros((d, d))
    multiply = _squared if (device := gpu()) is None else partial(_squared_there, device)
    rows = shortened(vectors if mean is None else vectors - mean)
    for start in range(0, len(rows), _BLOCK_ROWS):
        total += multiply(rows[start : start + _BLOCK_ROWS])
    return total / len(rows)


def _squared(block: FloatArray) -> npt.NDArray[np.floating[Any]]:
    return block.T @ block  # in float32 within a block, where it is exact enough, and twice as fast


def _squared_there(device: torch.device, block: FloatArray) -> npt.NDArray[np.floating[Any]]:
    from retrieval_bench.device.stream import to_device

    there = to_device(block, device)
    return (there.T @ there).cpu().numpy()


def shrunk_moment(queries: FloatArray) -> Float64Array:
    """Second moment of a query sample, shrunk towards a multiple of the identity.

    Fewer queries than dimensions leave directions that no sampled query has and a new one will. The amount is that of
    Ledoit and Wolf 2004 ("A well-conditioned estimator for large-dimensional covariance matrices"), which tends to
    zero as queries are added.
    """
    m, d = queries.shape
    queries = shortened(queries)
    moment = second_moment(queries)
    level = np.trace(moment) / d
    lengths = np.einsum("md,md->m", queries, queries, dtype=np.float64)
    noise = (np.mean(lengths**2) - np.sum(moment**2)) / m
    distance = np.sum(moment**2) - d * level**2
    share = 1.0 if distance <= noise else max(noise / distance, _LEAST_SHRINKAGE)
    shrunk: Float64Array = (1 - share) * moment + share * level * np.eye(d)
    return shrunk


def loss(query_moment: Float64Array, moment: Float64Array, query: Float64Array, database: Float64Array) -> float:
    """Mean squared error of the reduced inner products: ``E |q'(A B' - I) x|^2``.

    Args:
        query_moment: (D, D) of the queries.
        moment: (D, D) of the documents.
        query: A, (D, d).
        database: B, (D, d).
    """
    error = query @ database.T - np.eye(len(moment))
    return float(np.einsum("ij,ij->", query_moment @ error, error @ moment))
