"""What training gained: the same held-out queries before and after, with a paired interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from retrieval_bench.checks import normalised
from retrieval_bench.datasets import exact_neighbors, load_dataset, notes_of
from retrieval_bench.encoders import cached_encode, load_encoder
from retrieval_bench.errors import DataError
from retrieval_bench.quality import evaluate, mean, ranked
from retrieval_bench.statistics import difference_interval
from retrieval_bench.statistics.samples import Float64Array
from retrieval_bench.types import Dataset, FloatArray, Frozen, Hits, IntArray, Split

METRICS = ("nDCG@10", "MRR")
_DEPTH = 1000  # documents ranked: a relevant one further down adds less than .001 to a reciprocal rank

Scores = dict[str, Float64Array]
"""By metric, (m,) values of the queries of a split."""


class Gain(Frozen):
    """One metric before and after training, over the same queries; ``low`` to ``high`` is the gain's 95 % interval."""

    dataset: str
    split: str
    metric: str
    dimensions: int = Field(description="of the vectors that were searched")
    queries: int
    over: str = Field(description="the encoder before: where training started, or a peer")
    before: float
    after: float
    gain: float
    low: float
    high: float
    notes: tuple[str, ...] = Field(default=(), description="what is not in the data as its files have it, a line each")


def heldout_scores(
    encoder: str, dataset: Dataset, split: Split, *, rows: IntArray | None = None, dim: int | None = None
) -> Scores:
    """Score an encoder's exact search by cosine similarity, its vectors coming from the cache where they are in it.

    Args:
        encoder: name or folder.
        dataset: with judgments of the split.
        split: ``tune`` to choose by, ``test`` to report.
        rows: search these corpus rows only (see ``selection_pool``); None is all.
        dim: search with the first so many dimensions only.

    Raises:
        DataError: the data set has no judgments of that split.
    """
    if split not in dataset.qrels:
        raise DataError(f"data set {dataset.name!r}: has no judgments of a split {split!r}")
    model = load_encoder(encoder)
    queries, qrels = dataset.queries[split], dataset.qrels[split]
    texts = dataset.corpus.require_texts()
    pool = np.arange(len(texts)) if rows is None else rows
    documents = cached_encode(model, [texts[row] for row in pool])
    asked = cached_encode(model, queries.require_texts(), queries=True)
    depth = min(_DEPTH, len(pool))
    hits = exact_neighbors(_unit(documents, dim), _unit(asked, dim), depth, "ip")
    found = Hits(rows=pool[hits.rows], scores=hits.scores)
    return evaluate(ranked(found, dataset.corpus, own_rows=queries.own_rows, k=depth), qrels, METRICS)


def gains(
    before: Scores, after: Scores, *, dataset: str, split: str, over: str, dimensions: int, notes: Sequence[str] = ()
) -> list[Gain]:
    """Compare the scores of two encoders on the same queries."""
    found = []
    for metric, start in before.items():
        end = after[metric]
        low, high = difference_interval(end, start)
        found.append(
            Gain(
                dataset=dataset,
                split=split,
                metric=metric,
                dimensions=dimensions,
                over=over,
                queries=int((~np.isnan(start)).sum()),
                before=mean(start),
                after=mean(end),
                gain=mean(end - start),
                low=low,
                high=high,
                notes=tuple(notes),
            )
        )
    return found


def gains_on(names: Sequence[str], before: str, after: str, *, dims: Sequence[int] = ()) -> list[Gain]:
    """The gains of one encoder over another on the ``test`` queries of several data sets, searched exactly.

    Args:
        names: of the data sets.
        before: encoder, by name or folder.
        after: encoder, by name or folder.
        dims: compare vectors cut to each of these; none compares whole vectors.
    """
    found = []
    whole = load_encoder(after).dim
    for name in names:
        dataset = load_dataset(name)
        for dim in dims or (whole,):
            start, end = (heldout_scores(encoder, dataset, "test", dim=dim) for encoder in (before, after))
            found += gains(start, end, dataset=name, split="test", over=before, dimensions=dim, notes=notes_of(dataset))
    return found


def selection_pool(dataset: Dataset, split: Split, *, documents: int = 1000, seed: int = 0) -> IntArray:
    """Corpus rows that are enough to choose between encoders: all judged ones of the split, and others at random.

    Scores over a pool are higher than over the corpus; they rank encoders at a fraction of the encoding.
    """
    n, judged = len(dataset.corpus), dataset.qrels[split].rows
    others = np.setdiff1d(np.arange(n), judged)
    drawn = np.random.default_rng(seed).choice(others, min(documents, len(others)), replace=False)
    return np.union1d(judged[judged < n], drawn)


def _unit(vectors: FloatArray, dim: int | None) -> FloatArray:
    """The first dimensions, of length 1; a text without a direction keeps its zeros."""
    cut = np.asarray(vectors[:, :dim])
    return normalised(cut) if cut.any(axis=1).all() else cut
