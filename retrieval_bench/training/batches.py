"""What a training step sees: queries, their documents, and which of the pairs must not count as negatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval_bench import registry
from retrieval_bench.errors import DataError
from retrieval_bench.training.settings import Settings
from retrieval_bench.types import Budget, Corpus, Dataset, IntArray, Qrels, Queries

_MINED_DEPTH = 30  # hard negatives are drawn from so many of the best BM25 hits


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One step's texts.

    Attributes:
        queries: b texts.
        query_rows: (b,) int64 their rows among the training queries.
        documents: (1 + h) b texts: the relevant document of each query, then h hard negatives of each.
        document_rows: their corpus rows.
        relevant: (b, (1 + h) b) whether a document is judged relevant to a query, its own or another's, or is the
            query itself (sets such as ArguAna).
        domain: number of the data set that they come from.
    """

    queries: Sequence[str]
    query_rows: IntArray
    documents: Sequence[str]
    document_rows: IntArray
    relevant: npt.NDArray[np.bool_]
    domain: int = 0


class Source(Protocol):
    """Where the loop gets its batches from; the same arguments give the same batch."""

    def __len__(self) -> int:
        """Steps in an epoch."""

    def batch(self, epoch: int, place: int) -> Batch:
        """The batch of this place in this epoch."""


class Pairs:
    """Queries of one split with a relevant document each, shuffled anew in every epoch."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        """Collect the pairs and mine the hard negatives.

        Args:
            dataset: with texts, and judgments of the split.
            settings: split, batch size, hard negatives and seed.

        Raises:
            DataError: there is nothing to learn from.
        """
        where = f"data set {dataset.name!r}"
        split = settings.split
        if split not in dataset.queries or split not in dataset.qrels:
            raise DataError(
                f"{where}: has no judged queries of a split {split!r}; train on one that has, e.g. pystdlib"
            )
        self._settings = settings
        self._queries = dataset.queries[split].require_texts()
        self._documents = dataset.corpus.require_texts()
        self._relevant = self._spared = _relevant_rows(dataset.qrels[split], len(self._documents))
        own = dataset.queries[split].own_rows
        if own is not None:  # a query's own document is neither an answer to it nor a wrong one
            self._relevant = [rows[rows != row] for rows, row in zip(self._relevant, own, strict=True)]
            self._spared = [np.append(rows, row) for rows, row in zip(self._relevant, own, strict=True)]
        self._asked = np.flatnonzero([len(rows) > 0 for rows in self._relevant]).astype(np.int64)
        if len(self._asked) < 2:
            raise DataError(
                f"{where}: {len(self._asked)} training queries have a relevant document; at least 2 are needed"
            )
        self._negatives = self._mined(dataset.corpus, dataset.queries[split]) if settings.negatives else {}

    def __len__(self) -> int:
        """Steps in an epoch; what does not fill a last batch waits for the next epoch's shuffle."""
        return max(1, len(self._asked) // self._settings.batch)

    def batch(self, epoch: int, place: int) -> Batch:
        """The batch of this place in this epoch."""
        order = np.random.default_rng([self._settings.seed, epoch]).permutation(self._asked)
        size = self._settings.batch
        rows = order[place * size : (place + 1) * size]
        rng = np.random.default_rng([self._settings.seed, epoch, place])
        positives = [rng.choice(self._relevant[row]) for row in rows]
        negatives = [rng.choice(self._negatives[row]) for _ in range(self._settings.negatives) for row in rows]
        documents = np.array([*positives, *negatives], np.int64)
        return Batch(
            queries=[self._queries[row] for row in rows],
            query_rows=rows,
            documents=[self._documents[row] for row in documents],
            document_rows=documents,
            relevant=np.stack([np.isin(documents, self._spared[row]) for row in rows]),
        )

    def _mined(self, corpus: Corpus, queries: Queries) -> dict[int, IntArray]:
        """By query, documents that share its words and are not relevant; any document where no hit is left."""
        ranker = registry.rankers.get("bm25")()
        ranker.build(corpus, ranker.BuildParams(), Budget())
        hits = ranker.rank(queries.take(self._asked), min(_MINED_DEPTH, len(corpus)))
        mined = {}
        for row, found in zip(self._asked.tolist(), hits.rows, strict=True):
            wrong = np.setdiff1d(found[found >= 0], self._spared[row])
            mined[row] = wrong if len(wrong) else np.arange(len(corpus))
        return mined


class Domains:
    """The batches of several sources, each of one domain, in an order shuffled anew in every epoch."""

    def __init__(self, sources: Sequence[Pairs], *, seed: int) -> None:
        self._sources = sources
        self._seed = seed
        self._plan = np.array([(d, place) for d, source in enumerate(sources) for place in range(len(source))])

    def __len__(self) -> int:
        """Steps in an epoch: those of all domains."""
        return len(self._plan)

    def batch(self, epoch: int, place: int) -> Batch:
        """The batch of this place in this epoch."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._plan))
        domain, own_place = self._plan[order[place]].tolist()
        batch = self._sources[domain].batch(epoch, own_place)
        return Batch(**{**vars(batch), "domain": domain})


def _relevant_rows(qrels: Qrels, documents: int) -> list[IntArray]:
    """By query, rows of the corpus that are relevant."""
    found = []
    for i in range(len(qrels)):
        judged = slice(qrels.offsets[i], qrels.offsets[i + 1])
        rows = qrels.rows[judged]
        found.append(rows[(qrels.grades[judged] > 0) & (rows < documents)])
    return found
