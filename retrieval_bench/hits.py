"""From what an engine returns to Hits: the order of ties and the padding are settled here, for every plug-in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.types import FloatArray, Hits, IntArray


def make_hits(rows: npt.NDArray[np.integer[Any]], scores: npt.NDArray[np.floating[Any]]) -> Hits:
    """Put answers into the order that Hits promises.

    Engines return answers best first but leave the order of equal scores open. Answers that are in order already
    cost one vectorised comparison, because this runs inside the timed call; only the others are sorted.

    Args:
        rows: (m, k) corpus rows of any integer type; negative where an answer is missing.
        scores: (m, k), higher is better, of any floating type; whatever stands beside a missing row is ignored.

    Returns:
        Hits with int64 rows and float32 scores: best first, equal scores by ascending row, padding last.
    """
    found: IntArray = np.asarray(rows, np.int64)
    values: FloatArray = np.asarray(scores, np.float32)
    missing = found < 0
    if missing.any():
        found = np.where(missing, np.int64(-1), found)
        values = np.where(missing, np.float32(-np.inf), values)
    before, after = values[:, :-1], values[:, 1:]
    if (before > after).all():
        return Hits(rows=found, scores=values)
    # Unsigned, a padding row of -1 is the largest of all and so comes last among equals.
    keys = np.ascontiguousarray(found).view(np.uint64)
    in_order = (before > after) | ((before == after) & (keys[:, :-1] <= keys[:, 1:]))
    wrong = np.flatnonzero(~in_order.all(axis=1))
    if len(wrong):
        order = np.lexsort((keys[wrong], -values[wrong]), axis=-1)
        found, values = found.copy(), values.copy()
        found[wrong] = np.take_along_axis(found[wrong], order, axis=1)
        values[wrong] = np.take_along_axis(values[wrong], order, axis=1)
    return Hits(rows=found, scores=values)
