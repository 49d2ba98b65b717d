"""The score of a pair, in float64: what every exact answer, every recall and every check is decided by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError
from retrieval_bench.types import FloatArray, IntArray, Metric

DoubleArray = npt.NDArray[np.float64]

_RESCORE_VALUES = 1 << 18  # values rescored together: 2 MiB as float64, so that a block stays in the cache


def exact_scores(corpus_vectors: FloatArray, query_vectors: FloatArray, rows: IntArray, metric: Metric) -> DoubleArray:
    """Scores of given rows, in float64 from the vectors as given.

    The score of a pair depends on its two vectors alone, to the last bit: equal vectors get equal scores.

    Args:
        corpus_vectors: (n, d) float32, possibly memory-mapped.
        query_vectors: (m, d) float32.
        rows: (m, w) int64 corpus rows to score for each query; -1 is padding.
        metric: ``l2`` scores are minus squared distances.

    Returns:
        (m, w) float64, -inf at padding.

    Raises:
        DataError: a row outside the corpus, or a zero vector under ``cos``.
    """
    m, width = rows.shape
    scores = np.full(rows.shape, -np.inf)
    if rows.size and (rows.max() >= len(corpus_vectors) or rows.min() < -1):
        raise DataError(f"rows to score must be -1 to {len(corpus_vectors) - 1}, not {rows.min()} to {rows.max()}")
    columns = max(1, min(width, _RESCORE_VALUES // corpus_vectors.shape[1]))
    queries = max(1, _RESCORE_VALUES // (corpus_vectors.shape[1] * columns))
    for first in range(0, m, queries):
        asked = query_vectors[first : first + queries].astype(np.float64, order="C")[:, np.newaxis]
        for start in range(0, width, columns):
            block = rows[first : first + queries, start : start + columns]
            found = _pair_scores(corpus_vectors[np.maximum(block, 0)].astype(np.float64, order="C"), asked, metric)
            scores[first : first + queries, start : start + columns] = np.where(block < 0, -np.inf, found)
    return scores


def _pair_scores(documents: DoubleArray, asked: DoubleArray, metric: Metric) -> DoubleArray:
    """Scores (q, c) of documents (q, c, d), which are overwritten, for queries (q, 1, d)."""
    # Sums run along each pair's own d values (no BLAS), so that they do not depend on where the pair stands.
    if metric == "l2":
        documents -= asked
        documents *= documents
        squared_distances: DoubleArray = documents.sum(axis=-1)
        return -squared_distances
    products: DoubleArray = (documents * asked).sum(axis=-1)
    if metric == "ip":
        return products
    documents *= documents
    lengths: DoubleArray = np.sqrt(documents.sum(axis=-1) * (asked * asked).sum(axis=-1))
    if not lengths.all():
        raise DataError("a zero vector has no direction under 'cos'; remove it or use the metric 'ip' or 'l2'")
    cosines: DoubleArray = products / lengths
    return cosines


def ranked(rows: IntArray, exact: DoubleArray, k: int) -> tuple[IntArray, FloatArray]:
    """The best k of each query's rows (m, c) by their exact scores rounded to float32, then by row.

    Raises:
        DataError: a score does not fit float32.
    """
    with np.errstate(over="ignore"):
        scores = exact.astype(np.float32)
    if not np.isfinite(scores).all():
        raise DataError("scores do not fit float32; scale the vectors down (or look for NaN in them)")
    order = np.lexsort((rows, -scores), axis=-1)[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
