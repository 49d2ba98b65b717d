"""Inverted lists of reduced vectors: queries are grouped by list, so that a list is read once for all of them."""

from __future__ import annotations

from typing import Any, ClassVar

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.indexes import _reduced_fit as make
from retrieval_bench.indexes._faiss import check_enough, filled, training_rows
from retrieval_bench.indexes._reduced import Asked, ReducedIndex
from retrieval_bench.indexes._reduced_plan import ReducedBuild, ReducedSearch, choose
from retrieval_bench.indexes._reduced_store import Stored
from retrieval_bench.indexes.ivf import MOST_LISTS, PROBED, automatic_lists
from retrieval_bench.kernels.scan import ROWS, Int32Array, Lists, scan, slots_of, tiles
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
            DataError: fewer vectors than lists, all vectors the same, or no queries to learn from.
            UsageError: dim is above the vectors' dimensions.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        lists = params.lists or automatic_lists(n)
        layout = choose(self.name, params, budget, n, d, metric, lists)
        check_enough(n, lists)
        learn = None if queries is None else queries.vectors
        projection, name = make.fit(params.projection, vectors, learn, layout.dim, metric=metric, seed=seed)
        self._metric = metric
        reduced = projection.documents(vectors)
        centres, of_row = _clustered(reduced, lists, seed)
        sizes = np.bincount(of_row, minlength=lists).astype(np.int64)
        starts, slots = slots_of(sizes)
        row_of_slot = np.full(slots, -1, np.int32)
        order = np.argsort(of_row, kind="stable")
        within = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        row_of_slot[np.repeat(starts * ROWS, sizes) + within] = order
        self._store(
            vectors, projection, reduced, layout, learn,
            starts=starts, rows=sizes, row_of_slot=row_of_slot, centres=centres, seed=seed,
        )  # fmt: skip
        self.params = filled(params, lists=lists, dim=layout.dim, projection=name, secondary=layout.secondary)

    def _take(self, stored: Stored) -> None:
        super()._take(stored)
        if stored.centroids is None:
            raise ValueError("the lists have no centres")
        starts, rows = tiles(len(stored.rows))
        self._coarse = Lists(codes=stored.centroids, starts=starts, rows=rows, bias=stored.centroid_bias)

    def _candidates(self, asked: Asked, depth: int, params: Any) -> tuple[Int32Array, Int32Array]:
        nprobe = min(params.nprobe, len(self._stored.rows))
        probes, _ = scan(self._coarse, asked.codes, nprobe, weights=asked.weights)
        ranked = not self._reranks
        return scan(self._lists, asked.codes, depth, probes=probes, weights=asked.weights, ranked=ranked)


def _clustered(reduced: FloatArray, lists: int, seed: int) -> tuple[FloatArray, IntArray]:
    """Centres (lists, d) by k-means, and the list of each row."""
    kmeans = faiss.Kmeans(
        reduced.shape[1], lists, niter=_ROUNDS, seed=seed % (1 << 31),
        min_points_per_centroid=1, max_points_per_centroid=1 << 30,
    )  # fmt: skip
    kmeans.train(training_rows(reduced, lists, seed))
    _, nearest = kmeans.index.search(reduced, 1)
    return kmeans.centroids, nearest[:, 0]
