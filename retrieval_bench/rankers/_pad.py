"""Hits of the width that was asked for, where there are fewer documents."""

from __future__ import annotations

import numpy as np

from retrieval_bench.types import Hits


def padded(hits: Hits, k: int) -> Hits:
    """Hits of shape (m, k) from hits of shape (m, k or fewer)."""
    short = k - hits.rows.shape[1]
    if short <= 0:
        return hits
    margin = ((0, 0), (0, short))
    return Hits(
        rows=np.pad(hits.rows, margin, constant_values=-1),
        scores=np.pad(hits.scores, margin, constant_values=-np.inf),
    )
