"""All vectors, reduced to few dimensions of 7 bits, and the best candidates re-ranked by vectors kept more exactly."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from retrieval_bench.indexes import _reduced_fit as make
from retrieval_bench.indexes._faiss import filled
from retrieval_bench.indexes._reduced import Asked, ReducedIndex
from retrieval_bench.indexes._reduced_plan import ReducedBuild, ReducedSearch, choose
from retrieval_bench.kernels.scan import ROWS, Int32Array, scan, tiles
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries


@indexes.register("leanvec")
class LeanVec(ReducedIndex):
    """Reduction and re-ranking of LeanVec (Tepper et al. 2024, arXiv 2312.16335), scanned exhaustively.

    Exact search costs a product of all dimensions in float32; this one a product of a quarter of them in integers. It
    needs no clustering and no graph, so a build is one pass over the vectors.
    """

    name = "leanvec"
    BuildParams: ClassVar[type[Params]] = ReducedBuild
    SearchParams: ClassVar[type[Params]] = ReducedSearch

    def build(
        self,
        corpus: Corpus,
        params: ReducedBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: no layout fits.
            DataError: all vectors are the same, or a projection that learns from queries has none.
            UsageError: dim is above the vectors' dimensions.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        layout = choose(self.name, params, budget, n, d, metric)
        learn = None if queries is None else queries.vectors
        projection, name = make.fit(params.projection, vectors, learn, layout.dim, metric=metric, seed=seed)
        self._metric = metric
        starts, rows = tiles(n)
        row_of_slot = np.full(-(-n // ROWS) * ROWS, -1, np.int32)
        row_of_slot[:n] = np.arange(n)
        self._store(
            vectors, projection, projection.documents(vectors), layout, learn,
            starts=starts, rows=rows, row_of_slot=row_of_slot, seed=seed,
        )  # fmt: skip
        self.params = filled(params, dim=layout.dim, projection=name, secondary=layout.secondary)

    def _candidates(self, asked: Asked, depth: int, params: Any) -> tuple[Int32Array, Int32Array]:  # noqa: ARG002
        return scan(self._lists, asked.codes, depth, weights=asked.weights, ranked=not self._reranks)
