"""Exact search over all vectors."""

from __future__ import annotations

from typing import Any, ClassVar

import faiss

from retrieval_bench.budgets import require_bytes
from retrieval_bench.indexes._faiss import METRICS, FaissIndex
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries


class FlatBuild(Params):
    """Nothing to choose."""


class FlatSearch(Params):
    """Nothing to choose."""


@indexes.register("flat")
class Flat(FaissIndex):
    """Every query is compared with every vector, in float32. The reference that the others are judged against."""

    name = "flat"
    forms = "flat"
    BuildParams: ClassVar[type[Params]] = FlatBuild
    SearchParams: ClassVar[type[Params]] = FlatSearch

    def build(
        self,
        corpus: Corpus,
        params: FlatBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns nothing
        seed: int = 0,  # noqa: ARG002 - chooses nothing
    ) -> None:
        """See protocols.Index."""
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        require_bytes(f"flat (float32, {d} dimensions)", 4 * n * d, budget, n)
        self.params = params
        self._fill(faiss.IndexFlat(d, METRICS[metric]), vectors)

    def _search_parameters(self, k: int, params: Any) -> None:  # noqa: ARG002 - nothing to set
        return None
