"""Every query is compared with every code: any codec, under one budget."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from retrieval_bench.codecs import Arrays
from retrieval_bench.indexes._coded import CodedBuild, CodedIndex, CodedSearch
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries


@indexes.register("coded")
class Coded(CodedIndex):
    """One list, whose centroid is the mean; rows stay where they are, so that no ids are kept."""

    name = "coded"
    BuildParams: ClassVar[type[Params]] = CodedBuild
    SearchParams: ClassVar[type[Params]] = CodedSearch

    def build(
        self,
        corpus: Corpus,
        params: CodedBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns from the corpus alone
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: no layout of the codec fits.
            DataError: too few vectors for the codec, or a traffic file that does not fit the corpus.
            UnknownNameError: no such codec.
        """
        vectors = corpus.require_vectors()
        mean = np.asarray(np.mean(vectors, axis=0, dtype=np.float64), np.float32)
        lists: Arrays = {"centroids": mean[None], "starts": np.array([0, len(vectors)], np.int64)}
        room = self._code(vectors, lists, params, budget, metric=metric, seed=seed)
        self.params = params.model_copy(update={"bytes": room})

    def _probed(self, queries: Any, params: Any) -> None:  # noqa: ARG002 - there is one list
        return None
