"""Every query is compared with every code: any codec, under one budget."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from retrieval_bench.codecs import Arrays
from retrieval_bench.indexes._cells import find_cells
from retrieval_bench.indexes._coded import CodedBuild, CodedIndex, CodedSearch
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries


@indexes.register("coded")
class Coded(CodedIndex):
    """One list, whose centroid is the mean, and no ids; a few lists where groups lie far apart (see ``_cells``)."""

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
        cells = find_cells(vectors, seed)
        starts = np.concatenate([[0], np.cumsum(np.bincount(cells.of_row, minlength=len(cells)))])
        lists: Arrays = {"centroids": cells.centres, "starts": starts.astype(np.int64)}
        if len(cells) > 1:
            lists["ids"] = np.argsort(cells.of_row, kind="stable").astype(np.int32)
        room = self._code(vectors, lists, params, budget, metric=metric, seed=seed)
        self.params = params.model_copy(update={"bytes": room})

    def _probed(self, queries: Any, params: Any) -> None:  # noqa: ARG002 - all lists are looked into
        return None
