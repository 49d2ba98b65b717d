"""Exact nearest neighbors: a float32 scan proposes, float64 decides, an error bound says where that is proof."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from retrieval_bench.checks import check_k, normalised
from retrieval_bench.device.presence import gpu
from retrieval_bench.errors import DataError
from retrieval_bench.exact import DoubleArray, exact_scores, ranked
from retrieval_bench.files import atomic_file, home
from retrieval_bench.types import FloatArray, Hits, IntArray, Metric

_QUERY_ROWS = 512  # queries scored together in the scan ...
_CORPUS_ROWS = 1 << 14  # ... against at most so many rows: 32 MiB of scores, 64 MiB to select from them
_CORPUS_VALUES = 1 << 23  # values of a corpus block: 64 MiB as float64
_DEVICE_ROWS = 1 << 16  # on a GPU
_MARGIN = 64  # candidates kept beyond k, at least


def exact_neighbors(
    corpus_vectors: FloatArray, query_vectors: FloatArray, k: int, metric: Metric, *, progress: bool = False
) -> Hits:
    """The k nearest corpus rows of every query, exactly.

    A score is computed in float64 from the vectors as given and rounded to float32 once. Hits are ordered by that
    float32 score, then by row, so the answer depends neither on block sizes nor on the BLAS. Each query's candidates
    come from a float32 matrix product; where the bound on its rounding error (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 3.1) cannot rule out the rows that were dropped, as among many duplicates,
    that query is scored against the whole corpus in float64 instead.

    Needs about 250 MiB besides the answer and, per query, its vector and max(k, 64) + k candidates; the corpus is read
    in blocks, once in order and then at the candidates.

    Args:
        corpus_vectors: (n, d) float32, finite, possibly memory-mapped.
        query_vectors: (m, d) float32, finite.
        k: neighbors per query, 1 to n.
        metric: ``cos`` normalises internally; ``l2`` scores are minus squared distances.
        progress: show a progress bar on standard error.

    Returns:
        Hits of shape (m, k), full.

    Raises:
        UsageError: k is not in 1 to n.
        DataError: dimensions differ, a zero vector under ``cos``, or scores too large for float32.
    """
    n, dim = corpus_vectors.shape
    check_k(k, n)
    if query_vectors.shape[1] != dim:
        raise DataError(f"queries have {query_vectors.shape[1]} dimensions, the corpus has {dim}")
    m = len(query_vectors)
    rows, scores = np.empty((m, k), np.int64), np.empty((m, k), np.float32)
    proven = np.zeros(m, np.bool_)
    keep = k + max(k, _MARGIN)
    if keep < n:
        candidates, dropped = _candidates(corpus_vectors, query_vectors, keep, metric, progress=progress)
        rows, scores = ranked(candidates, exact_scores(corpus_vectors, query_vectors, candidates, metric), k)
        proven = dropped.astype(np.float32) < scores[:, -1]
    everything = np.arange(n)[np.newaxis]
    for i in np.flatnonzero(~proven):
        exact = exact_scores(corpus_vectors, query_vectors[i : i + 1], everything, metric)
        rows[i : i + 1], scores[i : i + 1] = ranked(everything, exact, k)
    return Hits(rows=rows, scores=scores)


def cached_neighbors(fingerprint: str, split: str, metric: Metric, k: int, compute: Callable[[], Hits]) -> Hits:
    """The neighbors that ``compute`` gives, kept under ``$RETRIEVAL_BENCH_HOME/neighbors``.

    Neighbors kept for a larger k serve a smaller one. A file that is damaged, or holds something else than its name
    says, is computed anew and replaced.

    Args:
        fingerprint: of the vectors of the corpus and the queries.
        split: which queries.
        metric: how vectors compare.
        k: neighbors per query.
        compute: gives the Hits (m, k) when they are not kept.

    Raises:
        DataError: the folder cannot be written to.
    """
    folder = home() / "neighbors" / fingerprint
    key = f"{fingerprint} {split} {metric}"
    kept: dict[int, Path] = {}
    for path in folder.glob(f"{split}-{metric}-*.npz"):
        width = path.stem.rpartition("-")[2]
        if width.isdecimal() and int(width) >= k:
            kept[int(width)] = path
    for wider in sorted(kept):
        found = _kept(kept[wider], key, wider)
        if found is not None:
            return found.first(k)
    hits = compute()
    with atomic_file(folder / f"{split}-{metric}-{hits.rows.shape[1]}.npz") as temporary:
        np.savez(temporary, key=np.array(key), rows=hits.rows, scores=hits.scores)
    return hits


def _kept(path: Path, key: str, k: int) -> Hits | None:
    """Neighbors from a file of the cache, or None unless they are, whole, what the file is named after."""
    try:
        with (
            path.open("rb") as file,
            np.load(file, allow_pickle=False) as arrays,
        ):  # verifies the checksum of each array
            rows, scores, written = arrays["rows"], arrays["scores"], str(arrays["key"])
    except (OSError, EOFError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    if (rows.dtype, scores.dtype, rows.ndim) != (np.int64, np.float32, 2) or rows.shape != (len(scores), k):
        return None
    return Hits(rows=rows, scores=scores) if rows.shape == scores.shape and written == key else None


def _candidates(
    corpus: FloatArray, queries: FloatArray, keep: int, metric: Metric, *, progress: bool
) -> tuple[IntArray, DoubleArray]:
    """Float32 scan: ``keep`` good rows per query (m, keep), and an upper bound (m,) on the score of any other row."""
    n, dim = corpus.shape
    m = len(queries)
    # Distances do not change when all vectors are shifted, and cancel far less when the corpus is centred.
    centre = corpus[:: max(1, n // 1000)].mean(axis=0, dtype=np.float64).astype(np.float32)
    asked = _comparable(queries, metric, centre)
    rows, scores = np.zeros((m, keep), np.int64), np.full((m, keep), -np.inf, np.float32)
    largest = 0.0  # squared length
    starts = range(0, n, min(_CORPUS_ROWS, max(1, _CORPUS_VALUES // dim)))
    there = None
    if (device := gpu()) is not None:
        from retrieval_bench.datasets._neighbors_device import DeviceScan

        there = DeviceScan(asked, keep, device)
        starts = range(0, n, _DEVICE_ROWS)
    console = Console(stderr=True)
    with np.errstate(over="ignore", invalid="ignore"):  # an overflow makes the bound below infinite
        for start in track(starts, "exact neighbors", console=console, disable=not progress, transient=True):
            block = _comparable(corpus[start : start + starts.step], metric, centre)
            squares = np.einsum("ij,ij->i", block, block, dtype=np.float64)
            largest = max(largest, float(squares.max()))
            if there is not None:
                there.fold(block, (-squares / 2).astype(np.float32) if metric == "l2" else None, start)
                continue
            for first in range(0, m, _QUERY_ROWS):
                some = slice(first, first + _QUERY_ROWS)
                block_scores = asked[some] @ block.T
                if metric == "l2":  # -|x - q|^2 / 2 + |q|^2 / 2, of which the last part is one number per query
                    block_scores -= (squares / 2).astype(np.float32)
                _fold(rows[some], scores[some], block_scores, start)
        if there is not None:
            rows, scores = there.best()
        squares = np.einsum("ij,ij->i", asked, asked, dtype=np.float64)
        # Largest magnitude that a sum can pass through. The classic bound is d * eps / 2 of it: twice that, and a
        # little more, also covers the roundings of normalising, centring and subtracting.
        reach = np.sqrt(squares * largest) + (largest / 2 if metric == "l2" else 0.0)
        error = reach * (dim + 16) * np.finfo(np.float32).eps + dim * float(np.finfo(np.float32).tiny)
        bound = scores.min(axis=1) + np.where(reach < 1e37, error, np.inf)
        if metric == "l2":  # of the queries as given: their rounding, once centred, may be far more than the bound
            squares = np.square(np.subtract(queries, centre, dtype=np.float64)).sum(axis=1)
            bound = 2 * bound - squares * (1 - (dim + 16) * np.finfo(np.float64).eps)
    return rows, bound


def _comparable(vectors: FloatArray, metric: Metric, centre: FloatArray) -> FloatArray:
    """Float32 vectors whose inner products rank as ``metric`` does, up to a term of each row and of each query."""
    if metric == "l2":
        return np.subtract(vectors, centre, dtype=np.float64).astype(np.float32)
    if metric == "cos":
        if not vectors.any(axis=1).all():
            raise DataError("a zero vector has no direction under 'cos'; remove it or use the metric 'ip' or 'l2'")
        return normalised(vectors)
    return vectors


def _fold(rows: IntArray, scores: FloatArray, block: FloatArray, start: int) -> None:
    """Keep the best of what was kept (q, keep) and a block of scores (q, b) of the rows from ``start``; in place."""
    q, keep = scores.shape
    passing = block > scores.min(axis=1, keepdims=True)
    width = int(passing.sum(axis=1).max())
    if width == 0:
        return
    if 4 * width > block.shape[1]:
        columns = np.argpartition(block, -min(keep, block.shape[1]), axis=1)[:, -keep:]
        fresh_rows, fresh_scores = columns + start, np.take_along_axis(block, columns, axis=1)
    else:  # few pass once the first blocks are in: gather them instead of partitioning the block
        query, column = np.divmod(np.flatnonzero(passing), passing.shape[1])  # far faster than np.nonzero of two axes
        place = np.arange(len(query)) - np.searchsorted(query, query)
        fresh_rows, fresh_scores = np.zeros((q, width), np.int64), np.full((q, width), -np.inf, np.float32)
        fresh_rows[query, place] = column + start
        fresh_scores[query, place] = block[query, column]
    all_rows, all_scores = np.hstack([rows, fresh_rows]), np.hstack([scores, fresh_scores])
    best = np.argpartition(all_scores, -keep, axis=1)[:, -keep:]
    rows[:], scores[:] = np.take_along_axis(all_rows, best, axis=1), np.take_along_axis(all_scores, best, axis=1)
