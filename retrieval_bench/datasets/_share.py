"""Tuning queries for a source that has only one set: some of the test queries, drawn with a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from retrieval_bench.errors import UsageError
from retrieval_bench.types import Dataset, Hits, IntArray


def share_queries(dataset: Dataset, share: float, *, seed: int = 0) -> Dataset:
    """Make a share of the test queries, with their judgments and neighbors, tuning queries.

    Args:
        dataset: without tuning queries.
        share: in (0, 1); at least one query goes to each side.
        seed: of the draw.

    Raises:
        UsageError: the share is outside (0, 1), there is one query only, or there are tuning queries already.
    """
    test = dataset.queries["test"]
    if not 0 < share < 1:
        raise UsageError(f"tune_share = {share:g}: a share of the test queries above 0 and below 1 is needed")
    if "tune" in dataset.queries:
        raise UsageError(f"tune_share = {share:g}: {dataset.name} has tuning queries of its own; leave the share out")
    if len(test) < 2:
        raise UsageError(f"tune_share = {share:g}: {dataset.name} has one test query, which cannot be shared out")
    size = min(max(1, round(share * len(test))), len(test) - 1)
    drawn = np.random.default_rng(seed).permutation(len(test))
    parts: dict[str, IntArray] = {"tune": np.sort(drawn[:size]), "test": np.sort(drawn[size:])}
    queries = {split: replace(test.take(rows), split=split) for split, rows in parts.items()}
    judged, near = dataset.qrels.get("test"), dataset.neighbors.get("test")
    qrels = {} if judged is None else {split: judged.take(rows) for split, rows in parts.items()}
    neighbors = (
        {} if near is None else {s: Hits(rows=near.rows[rows], scores=near.scores[rows]) for s, rows in parts.items()}
    )
    return replace(
        dataset,
        queries={**dataset.queries, **queries},
        qrels={**dataset.qrels, **qrels},
        neighbors={**dataset.neighbors, **neighbors},
    )
