"""Exact neighbors that come with a data set: checked against its vectors, and scored by our convention."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.checks import normalised
from retrieval_bench.errors import DataError
from retrieval_bench.exact import exact_scores
from retrieval_bench.types import FloatArray, Hits, IntArray, Metric

_BLOCK_VALUES = 1 << 22  # values looked at together: bounds the temporary memory of a pass
_CHECKED_QUERIES = 10
_CHECKED_DOCUMENTS = 100_000
_TOLERANCE = 1e-4  # of the squared norms (ip, l2) or of 1 (cos): above the rounding of float32 sums


def given_hits(
    corpus: FloatArray,
    queries: FloatArray,
    rows: npt.NDArray[np.generic],
    *,
    metric: Metric,
    source: str,
    scores: npt.NDArray[np.floating] | None = None,
) -> Hits:
    """Turn given neighbors into Hits, unless they lie.

    Sources state distances by different conventions (squared or not, negated or not), so scores are computed anew from
    the vectors.

    Args:
        corpus: (n, d) float32, checked.
        queries: (m, d) float32, checked.
        rows: (m, k) integers, the nearest corpus rows of each query, in any order.
        metric: how they were found.
        source: to name in errors.
        scores: (m, k) what the source's distances are by our convention, to be compared for some queries; or None.

    Returns:
        Hits with scores by our convention, best first, ties by row.

    Raises:
        DataError: a shape that does not fit, rows out of range or repeated, distances that do not follow from the
            vectors, or documents that are nearer than the given neighbors (looked for on some queries and documents).
    """
    if not np.issubdtype(rows.dtype, np.integer) or rows.ndim != 2 or len(rows) != len(queries) or rows.shape[1] == 0:
        raise DataError(f"{source}: neighbors {rows.dtype} {rows.shape} do not fit {len(queries)} queries")
    given: IntArray = rows.astype(np.int64)
    if given.min() < 0 or given.max() >= len(corpus):
        raise DataError(
            f"{source}: neighbors name the rows {given.min()} to {given.max()}, the corpus has {len(corpus)}; "
            "they belong to other data"
        )
    ordered = np.sort(given, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if repeated.any():
        raise DataError(f"{source}: the neighbors of query {int(np.argmax(repeated))} name a row twice")
    with np.errstate(over="ignore"):
        computed = exact_scores(corpus, queries, given, metric).astype(np.float32)
    if scores is not None:
        _check_scores(corpus, queries, given, computed, scores, metric, source)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 nothing is told apart, and nothing refused
        _check_nearest(corpus, queries, given, computed, metric, source)
    order = np.lexsort((given, -computed), axis=1)
    return Hits(rows=np.take_along_axis(given, order, axis=1), scores=np.take_along_axis(computed, order, axis=1))


def _unit(vectors: FloatArray, metric: Metric) -> FloatArray:
    """Rows at length 1 under cos, where every score is then an inner product."""
    return normalised(vectors) if metric == "cos" else vectors


def _squares(vectors: FloatArray) -> FloatArray:
    squares: FloatArray = np.einsum("nd,nd->n", vectors, vectors)
    return squares


def _check_scores(
    corpus: FloatArray,
    queries: FloatArray,
    rows: IntArray,
    computed: FloatArray,
    scores: npt.NDArray[np.floating],
    metric: Metric,
    source: str,
) -> None:
    if scores.shape != rows.shape:
        raise DataError(f"{source}: distances {scores.shape} do not fit neighbors {rows.shape}")
    for i in range(min(_CHECKED_QUERIES, len(rows))):
        scale = 1.0 if metric == "cos" else _squares(queries[i : i + 1]) + _squares(corpus[rows[i]])
        wrong = np.abs(computed[i] - scores[i]) > 10 * _TOLERANCE * scale
        if wrong.any():
            j = int(np.argmax(wrong))
            raise DataError(
                f"{source}: the distance of query {i} to its neighbor {rows[i, j]} does not follow from their vectors "
                f"(score {computed[i, j]:.6g}, the file says {scores[i, j]:.6g}); "
                f"the file is damaged or its metric is not {metric!r}"
            )


def _check_nearest(
    corpus: FloatArray, queries: FloatArray, rows: IntArray, computed: FloatArray, metric: Metric, source: str
) -> None:
    """Look among evenly spaced documents for one that is nearer than a query's last given neighbor."""
    m, n = min(_CHECKED_QUERIES, len(rows)), len(corpus)
    asked = _unit(queries[:m], metric)
    last = computed[:m].min(axis=1, keepdims=True)
    stride = -(-n // _CHECKED_DOCUMENTS)
    step = stride * max(1, _BLOCK_VALUES // corpus.shape[1])
    for start in range(0, n, step):
        numbers = np.arange(start, min(start + step, n), stride)
        documents = _unit(np.ascontiguousarray(corpus[start : start + step : stride]), metric)
        scores, scale = asked @ documents.T, np.ones((1, 1), np.float32)
        if metric != "cos":
            scale = _squares(asked)[:, None] + _squares(documents)[None, :]
        if metric == "l2":
            scores = 2 * scores - scale
        for i, j in np.argwhere(scores > last + _TOLERANCE * scale):
            if numbers[j] not in rows[i]:
                hint = "; try --metric ip or --metric cos" if metric == "l2" else ""  # what most formats leave unsaid
                raise DataError(
                    f"{source}: row {numbers[j]} is nearer to query {i} under {metric!r} than its given neighbors are; "
                    f"the neighbors belong to other data or to another metric{hint}"
                )
