"""Hits to per-query values: against judgments where there are some, against exact neighbors where there are vectors."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval_bench.exact import exact_scores
from retrieval_bench.quality import (
    Ranking,
    evaluate,
    neighbor_recall,
    outside_exact,
    ranked,
    tie_bounds,
    tie_note,
    without_own,
)
from retrieval_bench.types import Dataset, Hits

PerQuery = dict[str, npt.NDArray[np.float64]]
JUDGED_METRICS = (
    "nDCG@10", "recall@5", "recall@20", "recall@100", "MRR", "MRR@10", "MAP", "P@10", "P@30", "success@10", "judged@10",
)  # fmt: skip
UNMATCHED = "no document was returned"  # how a note on queries without any answer begins
NEIGHBOR_CUTS = (1, 10, 100)


def primary(data: Dataset, depth: int) -> str:
    """The measurement that decides: quality on judgments where there are some, else recall of exact neighbors."""
    if "test" in data.qrels:
        return f"nDCG@{10 if depth >= len(data.corpus) else min(10, depth)}"
    return f"neighbor_recall@{min(10, depth)}"


def measured(dataset: Dataset, split: str, *, kind: Literal["index", "ranker"], depth: int) -> list[str]:
    """Names of the metrics that ``score`` gives for a split."""
    names = _judged(dataset, depth) if split in dataset.qrels else []
    if kind == "index" and split in dataset.neighbors:
        names += [f"neighbor_recall@{k}" for k in _cuts(min(depth, _exact_depth(dataset, split)))]
    return names


def score(dataset: Dataset, split: str, hits: Hits, *, kind: Literal["index", "ranker"], depth: int) -> PerQuery:
    """Values of every metric that applies, (m,) float64 each.

    A cut deeper than the search is left out, unless every document is ranked.
    MAP and MRR without a cut are over the ranking to ``depth``.
    """
    values: PerQuery = {}
    if split in dataset.qrels:
        values |= evaluate(ranking(dataset, split, hits, depth=depth), dataset.qrels[split], _judged(dataset, depth))
    if kind == "index" and split in dataset.neighbors:
        values |= _neighbor_recalls(dataset, split, hits, depth)
    return values


def ranking(dataset: Dataset, split: str, hits: Hits, *, depth: int) -> Ranking:
    """The answers as they are judged: in the order of trec_eval, the queries' own documents taken out."""
    return ranked(hits, dataset.corpus, own_rows=dataset.queries[split].own_rows, k=depth)


def said_of_unmatched(hits: Hits, backend: str, kind: Literal["index", "ranker"]) -> str:
    """One sentence on queries without any answer, and what mends it; empty where each has one."""
    empty = int((hits.rows < 0).all(axis=1).sum())
    if not empty:
        return ""
    told = f"{UNMATCHED} for {empty:,} of {len(hits.rows):,} queries"
    if kind == "index":
        return f"{told}."
    return (
        f"{told}: they share no term with any document as {backend} tells terms apart, at spaces and punctuation. "
        "Where the language is written without spaces, put spaces between its words in texts and queries, or use a "
        "ranker of vectors with an encoder of that language (dense)."
    )


def said_of_ties(dataset: Dataset, split: str, judged: Ranking, values: PerQuery) -> str:
    """One sentence on the judged figures that another order of equal scores would move; empty where none moves."""
    if split not in dataset.qrels:
        return ""
    metrics = {name: column for name, column in values.items() if not name.startswith("neighbor")}
    complete = judged.rows.shape[1] >= len(dataset.corpus)
    return tie_note(tie_bounds(judged, dataset.qrels[split], metrics, complete=complete))


def _judged(dataset: Dataset, depth: int) -> list[str]:
    whole = depth >= len(dataset.corpus)  # nothing is cut off: every document has its rank
    metrics = [m for m in JUDGED_METRICS if whole or int(m.partition("@")[2] or 1) <= depth]
    return metrics + [name for name in [primary(dataset, depth)] if name not in metrics]


def _cuts(most: int) -> list[int]:
    return sorted({k for k in (*NEIGHBOR_CUTS, min(10, most)) if k <= most})


def _exact_depth(dataset: Dataset, split: str) -> int:
    """Exact neighbors of each query that are not its own document."""
    known: int = dataset.neighbors[split].rows.shape[1]
    return known - (dataset.queries[split].own_rows is not None)


def _neighbor_recalls(dataset: Dataset, split: str, hits: Hits, depth: int) -> PerQuery:
    own, most = dataset.queries[split].own_rows, _exact_depth(dataset, split)
    exact = without_own(dataset.neighbors[split], own, most)
    hits = without_own(hits, own, depth)
    cuts = _cuts(min(hits.rows.shape[1], most))
    # Only rows outside the exact answers can be ties, so only theirs are scored.
    unsure = np.full(hits.rows[:, : cuts[-1]].shape, -1, np.int64)
    for k in cuts:
        outside = outside_exact(hits.rows, exact, k)
        unsure[:, :k][outside] = hits.rows[:, :k][outside]
    true = exact_scores(
        dataset.corpus.require_vectors(), dataset.queries[split].require_vectors(), unsure, dataset.metric
    )
    return {f"neighbor_recall@{k}": neighbor_recall(hits.rows, exact, k, true[:, :k]) for k in cuts}
