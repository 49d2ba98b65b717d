"""All vectors, reduced to few dimensions of 7 bits, and the best candidates re-ranked by vectors kept more exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from retrieval_bench.indexes import _reduced_fit as make
from retrieval_bench.indexes._cells import find_cells
from retrieval_bench.indexes._faiss import filled
from retrieval_bench.indexes._reduced import ReducedIndex
from retrieval_bench.indexes._reduced_place import place
from retrieval_bench.indexes._reduced_plan import ReducedBuild, ReducedSearch
from retrieval_bench.kernels.scan import Asking, Int32Array, scan, tiled
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, Metric, Params, Queries


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
            DataError: a projection that learns from queries has none.
            UsageError: dim is above the vectors' dimensions.
        """
        vectors = corpus.require_vectors()
        cells = find_cells(vectors, seed)
        layout = self._chosen(vectors, cells, params, budget, metric)
        learn = None if queries is None else queries.vectors
        projection, name = make.fit_within(params.projection, vectors, cells, learn, layout, seed=seed)
        reduced = make.reduced(vectors, cells, projection)
        places = place(cells.of_row.astype(np.int64), np.arange(len(cells)))
        starts, rows = tiled(places.starts, places.rows)
        self._store(
            vectors, cells, projection, reduced, layout, replace(places, starts=starts, rows=rows), learn, seed=seed
        )
        self.params = filled(params, dim=layout.dim, projection=name, secondary=layout.secondary)

    def _candidates(self, asked: Asking, depth: int, params: Any) -> tuple[Int32Array, FloatArray]:  # noqa: ARG002
        return scan(self._lists, asked, depth, ranked=not self._reranks)
