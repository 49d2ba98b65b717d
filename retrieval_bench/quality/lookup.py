"""Find many rows in many small sets at once."""

from __future__ import annotations

import numpy as np

from retrieval_bench.types import IntArray


def locate(rows: IntArray, offsets: IntArray, members: IntArray) -> IntArray:
    """Where each row stands among the members of its query's set.

    A pair (query, row) becomes one integer key, so that a single binary search serves all queries.

    Args:
        rows: (m, k) int64; negative values are padding.
        offsets: (m + 1,) int64, not necessarily from 0; the set of query i is ``members[offsets[i]:offsets[i+1]]``.
        members: (j,) int64 non-negative, in any order, unique within a set.

    Returns:
        (m, k) int64 positions in ``members``; -1 for padding and for rows outside the set.
    """
    first, last = int(offsets[0]), int(offsets[-1])
    if rows.size == 0 or first == last:
        return np.full(rows.shape, -1, np.int64)
    chosen = members[first:last]
    stride = max(int(rows.max()), int(chosen.max())) + 1
    keys = np.repeat(np.arange(len(rows)), np.diff(offsets)) * stride + chosen
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    wanted = np.arange(len(rows))[:, None] * stride + rows
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = (keys[place] == wanted) & (rows >= 0)
    return np.where(found, order[place] + first, -1)
