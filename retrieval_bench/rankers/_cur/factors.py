"""Item factors: low-rank from a full matrix of scores, or fitted to a sparse one from where a dual encoder starts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr

from retrieval_bench.rankers._cur.solve import coefficients
from retrieval_bench.types import FloatArray, IntArray


class Known(NamedTuple):
    """The scores of one anchor query: items (s,), scores (s,)."""

    rows: IntArray
    scores: FloatArray


def pivots(scores: FloatArray, count: int) -> IntArray:
    """Items whose columns span the others best: the first pivots of a QR decomposition; no more than the rank allows.

    Args:
        scores: (a, n) of anchor queries and items.
        count: items wanted; at most min(a, n) are given.
    """
    order: IntArray = qr(scores.astype(np.float64), mode="r", pivoting=True)[1].astype(np.int64)
    return order[: min(count, *scores.shape)]


def truncated(scores: FloatArray, dim: int | None) -> FloatArray:
    """(min(dim, a), n): the strongest right singular vectors of (a, n) scores times their values; None takes all."""
    _, values, right = np.linalg.svd(scores, full_matrices=False)
    factors: FloatArray = (values[:, None] * right)[:dim].astype(np.float32)
    return factors


def calibrated(vectors: FloatArray, items: FloatArray, known: list[Known]) -> tuple[float, float]:
    """Slope and offset of the line from a dual encoder's similarity to the scorer's scores, least squares over pairs.

    Args:
        vectors: (a, d) of the anchor queries.
        items: (d, n) of the items.
        known: by anchor query.
    """
    similar = np.concatenate([vectors[i] @ items[:, rows] for i, (rows, _) in enumerate(known)])
    scores = np.concatenate([scores for _, scores in known])
    spread = float(similar.var())
    if spread == 0.0:
        return 0.0, float(scores.mean())
    slope = float(((similar - similar.mean()) * (scores - scores.mean())).mean()) / spread
    return slope, float(scores.mean()) - slope * float(similar.mean())


def with_residuals(start: FloatArray, priors: FloatArray, scores: FloatArray) -> FloatArray:
    """Factors to start from, and below them what they leave unexplained of the anchors' scores, on the same scale.

    Args:
        start: (r, n).
        priors: (a, r) coefficients of the anchor queries.
        scores: (a, n) theirs.

    Returns:
        (r + a, n).
    """
    rest = scores - priors @ start
    size = np.abs(rest).max()
    scale = start.std() / max(float(rest.std()), np.finfo(np.float32).tiny) if size else 0.0
    return np.vstack([start, scale * rest]).astype(np.float32)


def fitted(start: FloatArray, priors: FloatArray, known: list[Known], *, ridge: float, sweeps: int = 2) -> FloatArray:
    """Item factors that explain a sparse matrix of scores, by alternating ridge regressions.

    As AXN's matrix factorization from a dual encoder's vectors (arXiv 2405.03651, section 3.2); each item stays near
    where it starts as far as its few scores leave it open.

    Args:
        start: (r, n) factors to start from and to be drawn to.
        priors: (a, r) coefficients of the anchor queries that theirs are drawn to.
        known: by anchor query.
        ridge: of both regressions, see ``coefficients``.
        sweeps: of queries, then items.
    """
    by_item: list[list[int]] = [[] for _ in range(start.shape[1])]
    values: list[list[float]] = [[] for _ in range(start.shape[1])]
    for i, (rows, scores) in enumerate(known):
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            by_item[row].append(i)
            values[row].append(score)
    factors = start.copy()
    for _ in range(sweeps):
        asked = np.stack(
            [
                coefficients(factors, rows, scores, ridge=ridge, prior=prior)
                for (rows, scores), prior in zip(known, priors, strict=True)
            ]
        )
        columns = np.ascontiguousarray(asked.T)
        for item, queries in enumerate(by_item):
            if queries:
                factors[:, item] = coefficients(
                    columns, np.array(queries), np.array(values[item], np.float32), ridge=ridge, prior=start[:, item]
                )
    return factors
