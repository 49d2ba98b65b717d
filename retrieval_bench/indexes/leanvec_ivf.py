"""Inverted lists of reduced vectors: queries are grouped by list, so that a list is read once for all of them."""

from __future__ import annotations

from typing import Any, ClassVar

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.indexes import _reduced_fit as make
from retrieval_bench.indexes._cells import Cells, find_cells
from retrieval_bench.indexes._faiss import check_enough, filled, training_rows
from retrieval_bench.indexes._reduced import ReducedIndex
from retrieval_bench.indexes._reduced_place import Places, lists_as_rows, place
from retrieval_bench.indexes._reduced_plan import ReducedBuild, ReducedSearch
from retrieval_bench.indexes._reduced_store import Stored
from retrieval_bench.indexes.ivf import MOST_LISTS, PROBED, automatic_lists
from retrieval_bench.kernels.scan import Asking, Int32Array, Lists, scan, tiled
from retrieval_bench.projections import Projection
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, Metric, Params, Queries

_ROUNDS = 10  # of k-means


class LeanVecIvfBuild(ReducedBuild):
    """How vectors are divided, reduced and kept. What is None is chosen from the data and the budget."""

    lists: int | None = Field(None, ge=1, le=MOST_LISTS, description="inverted lists; None: about 2 * sqrt(n)")


class LeanVecIvfSearch(ReducedSearch):
    """How much is looked at."""

    nprobe: int = Field(16, ge=1, le=MOST_LISTS, description=PROBED)


@indexes.register("leanvec_ivf")
class LeanVecIvf(ReducedIndex):
    """The reduction and re-ranking of LeanVec (arXiv 2312.16335) under the inverted file of Jegou et al. 2011.

    Lists are clusters of the reduced vectors, and a query probes those whose centres score best by the same integer
    products; so the coarse step costs no more than a scan of as many rows as there are lists.
    """

    name = "leanvec_ivf"
    BuildParams: ClassVar[type[Params]] = LeanVecIvfBuild
    SearchParams: ClassVar[type[Params]] = LeanVecIvfSearch

    def build(
        self,
        corpus: Corpus,
        params: LeanVecIvfBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: no layout fits.
            DataError: fewer vectors than lists, or no queries to learn from.
            UsageError: dim is above the vectors' dimensions.
        """
        vectors = corpus.require_vectors()
        lists = params.lists or automatic_lists(len(vectors))
        check_enough(len(vectors), lists)
        cells = find_cells(vectors, seed)
        layout = self._chosen(vectors, cells, params, budget, metric, lists)
        learn = None if queries is None else queries.vectors
        projection, name = make.fit_within(params.projection, vectors, cells, learn, layout, seed=seed)
        reduced = make.reduced(vectors, cells, projection)
        cells, reduced, places = _divided(vectors, cells, projection, reduced, lists, seed)
        self._store(vectors, cells, projection, reduced, layout, places, learn, seed=seed)
        self.params = filled(params, lists=lists, dim=layout.dim, projection=name, secondary=layout.secondary)

    def _take(self, stored: Stored) -> None:
        super()._take(stored)
        if stored.centroids is None:
            raise ValueError("the lists have no centres")
        whole = lists_as_rows(stored.starts, stored.rows, stored.cells)
        starts, rows = tiled(whole["starts"], whole["rows"])
        self._coarse = Lists(
            codes=stored.centroids, starts=starts, rows=rows, scale=stored.centroid_scale, bias=stored.centroid_bias,
            cells=whole["cells"], cell_count=len(stored.centres),
        )  # fmt: skip

    def _candidates(self, asked: Asking, depth: int, params: Any) -> tuple[Int32Array, FloatArray]:
        probes, _ = scan(self._coarse, asked, min(params.nprobe, int(self._coarse.rows.sum())))
        return scan(self._lists, asked, depth, probes=probes, ranked=not self._reranks)


def _divided(
    vectors: FloatArray, cells: Cells, projection: Projection, reduced: FloatArray, lists: int, seed: int
) -> tuple[Cells, FloatArray, Places]:
    """Rows in lists by k-means of the reduced rows; where there are several cells, a list belongs to one of them."""
    if len(cells) == 1:
        of_row = _clustered(reduced, lists, seed)
        return cells, reduced, place(of_row, np.zeros(of_row.max() + 1, np.int64))
    away = (cells.centres - cells.centres[0]) @ projection.database
    of_row = _clustered(reduced + away[cells.of_row], lists, seed)
    shares = np.bincount(of_row * len(cells) + cells.of_row, minlength=(of_row.max() + 1) * len(cells))
    cell_of_list = shares.reshape(-1, len(cells)).argmax(axis=1)
    cells = Cells.of(vectors, cells.centres, cell_of_list[of_row].astype(np.int32))
    return cells, make.reduced(vectors, cells, projection), place(of_row, cell_of_list)


def _clustered(rows: FloatArray, lists: int, seed: int) -> IntArray:
    """The list of each row, by k-means; lists that no row falls into are left out."""
    kmeans = faiss.Kmeans(
        rows.shape[1], lists, niter=_ROUNDS, seed=seed % (1 << 31),
        min_points_per_centroid=1, max_points_per_centroid=1 << 30,
    )  # fmt: skip
    kmeans.train(training_rows(rows, lists, seed))
    _, nearest = kmeans.index.search(rows, 1)
    return np.asarray(np.unique(nearest[:, 0], return_inverse=True)[1], np.int64)
