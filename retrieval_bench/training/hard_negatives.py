"""Pairs whose negatives are what a ranker would have to put below: the best wrong hits of BM25 and of the encoder."""

from __future__ import annotations

import numpy as np

from retrieval_bench.checks import normalised
from retrieval_bench.datasets import exact_neighbors
from retrieval_bench.encoders import cached_encode, load_encoder
from retrieval_bench.training.batches import Pairs
from retrieval_bench.training.settings import Settings
from retrieval_bench.types import Corpus, Dataset, IntArray, Queries

_DENSE_DEPTH = 30  # hard negatives are drawn from so many of the encoder's best hits


class HardPairs(Pairs):
    """As Pairs, the negatives drawn from BM25's hits and from the encoder's in equal shares."""

    def __init__(self, dataset: Dataset, settings: Settings, *, encoder: str) -> None:
        self._encoder = encoder
        super().__init__(dataset, settings)

    def _mined(self, corpus: Corpus, queries: Queries) -> dict[int, IntArray]:
        lexical = super()._mined(corpus, queries)
        model = load_encoder(self._encoder)
        documents = normalised(cached_encode(model, corpus.require_texts()))
        asked = normalised(cached_encode(model, queries.require_texts(), queries=True)[self._asked])
        hits = exact_neighbors(documents, asked, min(_DENSE_DEPTH, len(corpus)), "ip")
        mined = {}
        for row, found in zip(self._asked.tolist(), hits.rows, strict=True):
            wrong = np.setdiff1d(found, self._spared[row])
            share = min(len(wrong), len(lexical[row]))
            mined[row] = np.concatenate([wrong[:share], lexical[row][:share]]) if share else lexical[row]
        return mined
