"""A query's coefficients from the scores of some items, and the rounds in which those items are chosen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from retrieval_bench.types import FloatArray, IntArray

Float64Array = npt.NDArray[np.float64]


def coefficients(
    factors: FloatArray, rows: IntArray, scores: FloatArray, *, ridge: float, prior: FloatArray | None = None
) -> FloatArray:
    """The u that explains the scores: least ||u factors[:, rows] - scores||^2 + penalty ||u - prior||^2.

    With factors = R, the scores of anchor queries, ``u R`` is the CUR approximation C U R of the new query's row: for
    ridge 0 it is scores pinv(R[:, rows]) R (ANNCUR, arXiv 2210.12579, section 3; ADACUR, 2305.02996, section 3). With
    learned item factors it is the query embedding of AXN (2405.03651, section 3.3).

    Args:
        factors: (r, n) a column per item.
        rows: (s,) items whose scores are known.
        scores: (s,) theirs.
        ridge: penalty as a share of the mean square of the known columns' singular values; 0 is the pseudo-inverse.
        prior: (r,) what u is drawn to; None is zero.

    Returns:
        (r,) float32.
    """
    known: Float64Array = factors[:, rows].astype(np.float64)
    start = np.zeros(len(factors)) if prior is None else prior.astype(np.float64)
    missing = scores.astype(np.float64) - start @ known
    if ridge == 0.0:
        change = np.linalg.lstsq(known.T, missing, rcond=None)[0]
    else:
        gram = known.T @ known  # (s, s): few items are known
        penalty = ridge * np.trace(gram) / len(gram) + np.finfo(np.float64).tiny
        change = known @ np.linalg.solve(gram + penalty * np.eye(len(gram)), missing)
    return (start + change).astype(np.float32)


def in_rounds(
    factors: FloatArray,
    first: IntArray,
    score: Callable[[IntArray], FloatArray],
    *,
    calls: int,
    rounds: int,
    ridge: float,
    priors: FloatArray | None = None,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Score ``first``, then in each round the items that look best by what is known so far, for q queries together.

    Args:
        factors: (r, n) a column per item.
        first: (q, f) items that each query begins with, no more than ``calls``, at least one.
        score: the scorer: (q, c) items to (q, c) scores; called once for ``first`` and once a round.
        calls: items scored in all per query, at most n.
        rounds: that the calls left after ``first`` are spread over, as evenly as they can be.
        ridge: see ``coefficients``.
        priors: (q, r) what each query's coefficients are drawn to; None is zero.

    Returns:
        ``rows`` (q, calls) all items scored, ``scores`` (q, calls) theirs, and ``estimates`` (q, n) of every item's
        score from all that is known in the end.
    """

    def estimated() -> FloatArray:
        drawn = [None] * len(rows) if priors is None else priors
        u = [coefficients(factors, *known, ridge=ridge, prior=p) for *known, p in zip(rows, scores, drawn, strict=True)]
        return np.stack(u) @ factors  # one product for all: the factors are read once

    rows, scores = first, score(first)
    left = calls - first.shape[1]
    for turn in range(min(rounds, left)):
        count = left // min(rounds, left) + (turn < left % min(rounds, left))
        estimates = estimated()
        np.put_along_axis(estimates, rows, -np.inf, axis=1)
        best = np.argpartition(-estimates, count - 1, axis=1)[:, :count]
        rows, scores = np.hstack([rows, best]), np.hstack([scores, score(best)])
    return rows, scores, estimated()
