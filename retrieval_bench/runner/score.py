"""Hits to per-query values: against judgments where there are some, against exact neighbors where there are vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.datasets import exact_scores
from retrieval_bench.quality import evaluate, neighbor_recall, outside_exact, without_own
from retrieval_bench.runner.job import BuildPlan
from retrieval_bench.types import Dataset, Hits

PerQuery = dict[str, npt.NDArray[np.float64]]
JUDGED_METRICS = ("nDCG@10", "recall@100", "MRR@10", "MAP", "P@10", "P@30", "success@10", "judged@10")
NEIGHBOR_CUTS = (1, 10, 100)


def score(dataset: Dataset, split: str, hits: Hits, plan: BuildPlan) -> PerQuery:
    """Values of every metric that applies, (m,) float64 each. Cuts deeper than the search are left out.

    MAP is over the ranking to ``plan.depth``.
    """
    values: PerQuery = {}
    if split in dataset.qrels:
        rows = without_own(hits, dataset.queries[split].own_rows, plan.depth)
        metrics = [m for m in JUDGED_METRICS if int(m.partition("@")[2] or 1) <= plan.depth]
        values |= evaluate(rows, dataset.qrels[split], metrics)
    if plan.card.kind == "index" and split in dataset.neighbors:
        values |= _neighbor_recalls(dataset, split, hits)
    return values


def _neighbor_recalls(dataset: Dataset, split: str, hits: Hits) -> PerQuery:
    exact = dataset.neighbors[split]
    cuts = [k for k in NEIGHBOR_CUTS if k <= min(hits.rows.shape[1], exact.rows.shape[1])]
    if not cuts:
        return {}
    # Only rows outside the exact answers can be ties, so only theirs are scored.
    unsure = np.full(hits.rows[:, : cuts[-1]].shape, -1, np.int64)
    for k in cuts:
        outside = outside_exact(hits.rows, exact, k)
        unsure[:, :k][outside] = hits.rows[:, :k][outside]
    true = exact_scores(
        dataset.corpus.require_vectors(), dataset.queries[split].require_vectors(), unsure, dataset.metric
    )
    return {f"neighbor_recall@{k}": neighbor_recall(hits.rows, exact, k, true[:, :k]) for k in cuts}
