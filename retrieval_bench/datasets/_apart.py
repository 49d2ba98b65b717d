"""Queries to learn from, to choose on and to report, apart from each other where a source has fewer sets than that.

A ranker that is chosen on the queries it learned from wins by what it remembers, and a setting that is chosen on the
queries it is reported on is flattered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from retrieval_bench.errors import UsageError
from retrieval_bench.types import Dataset, IntArray

_CHOOSE, _MOST = 1 / 3, 1000  # of the tuning queries; a recall to three digits needs no more


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
    tune, rest = _drawn(len(test), round(share * len(test)), seed)
    return _parted(dataset, "test", {"tune": tune, "test": rest})


def learn_apart(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """Keep a third of the tuning queries, at most 1,000, to choose on, where methods would learn from the same ones.

    Data whose ``train`` is not its ``tune`` stays as it is. Of a single tuning query nothing is learned.
    """
    tune, train = dataset.queries.get("tune"), dataset.queries.get("train")
    if tune is None or (train is not None and list(train.ids) != list(tune.ids)):
        return dataset
    if len(tune) < 2:
        queries = {split: part for split, part in dataset.queries.items() if split != "train"}
        return replace(dataset, queries=queries, qrels={s: part for s, part in dataset.qrels.items() if s != "train"})
    choose, learn = _drawn(len(tune), min(round(_CHOOSE * len(tune)), _MOST), seed)
    return _parted(dataset, "tune", {"train": learn, "tune": choose})


def _drawn(n: int, size: int, seed: int) -> tuple[IntArray, IntArray]:
    """Rows of ``size`` of n queries, drawn with a seed, and of the others; none of both is empty."""
    order = np.random.default_rng(seed).permutation(n)
    size = min(max(1, size), n - 1)
    return np.sort(order[:size]), np.sort(order[size:])


def _parted(dataset: Dataset, source: str, parts: Mapping[str, IntArray]) -> Dataset:
    """The data with rows of one split as several."""
    queries, qrels, near = dataset.queries[source], dataset.qrels.get(source), dataset.neighbors.get(source)
    asked = {split: replace(queries.take(rows), split=split) for split, rows in parts.items()}
    judged = {} if qrels is None else {split: qrels.take(rows) for split, rows in parts.items()}
    found = {} if near is None else {split: near.take(rows) for split, rows in parts.items()}
    return replace(
        dataset,
        queries={**dataset.queries, **asked},
        qrels={**dataset.qrels, **judged},
        neighbors={**dataset.neighbors, **found},
    )
