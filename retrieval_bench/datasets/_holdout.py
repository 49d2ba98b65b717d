"""Queries for a source that has none: rows held out of it, drawn with a seed."""

from __future__ import annotations

import numpy as np

from retrieval_bench.types import IntArray

_MOST = 1000  # queries in a part: enough for a recall to three digits


def hold_out(n: int, parts: int, *, seed: int = 0) -> list[IntArray]:
    """Draw ``parts`` disjoint sets of ``min(1000, n // 10)`` of n rows.

    Returns:
        ``parts + 1`` sorted int64 arrays: the rows that stay, then each part. Parts are empty when n < 10.
    """
    size = min(_MOST, n // 10)
    drawn = np.random.default_rng(seed).choice(n, parts * size, replace=False).astype(np.int64)
    stays = np.ones(n, bool)
    stays[drawn] = False
    return [np.flatnonzero(stays).astype(np.int64), *(np.sort(part) for part in drawn.reshape(parts, size))]
