"""Inverted lists over codes: only the lists nearest to a query are decoded."""

from __future__ import annotations

from typing import Any, ClassVar

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.budgets import allowed_bytes
from retrieval_bench.indexes._coded import CodedBuild, CodedIndex, CodedSearch
from retrieval_bench.indexes._faiss import check_enough, filled, seed_clustering, training_rows
from retrieval_bench.indexes.ivf import MOST_LISTS, PROBED, automatic_lists
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, Metric, Params, Queries


class CodedIvfBuild(CodedBuild):
    """How vectors are divided and compressed."""

    lists: int | None = Field(
        None, ge=1, le=MOST_LISTS, description="inverted lists; None: about 2 * sqrt(n), fewer where bytes are short"
    )


class CodedIvfSearch(CodedSearch):
    """How much is looked at, and how much of that twice."""

    nprobe: int = Field(8, ge=1, le=MOST_LISTS, description=PROBED)


@indexes.register("coded_ivf")
class CodedIvf(CodedIndex):
    """The inverted file of Jegou, Douze and Schmid 2011 over residual codes of any codec."""

    name = "coded_ivf"
    BuildParams: ClassVar[type[Params]] = CodedIvfBuild
    SearchParams: ClassVar[type[Params]] = CodedIvfSearch

    def build(
        self,
        corpus: Corpus,
        params: CodedIvfBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns from the corpus alone
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: no layout of the codec fits beside ids and centroids.
            DataError: fewer vectors than lists, too few for the codec, or a traffic file that does not fit the corpus.
            UnknownNameError: no such codec.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        allowed = allowed_bytes(budget, n) if params.bytes is None else int(params.bytes * n)
        lists = params.lists or _lists_within(allowed, n, d)
        check_enough(n, lists)
        clustering = faiss.Clustering(d, lists)
        seed_clustering(clustering, seed)
        quantizer = faiss.IndexFlatL2(d)
        clustering.train(training_rows(vectors, lists, seed), quantizer)
        nearest = quantizer.search(np.ascontiguousarray(vectors), 1)[1][:, 0]
        filled_lists, nearest = np.unique(nearest, return_inverse=True)  # a list without rows would be probed in vain
        arrays = {
            "centroids": faiss.vector_to_array(clustering.centroids).reshape(lists, d)[filled_lists],
            "starts": np.concatenate([[0], np.cumsum(np.bincount(nearest))]).astype(np.int64),
            "ids": np.argsort(nearest, kind="stable").astype(np.int32),
        }
        room = self._code(vectors, arrays, params, budget, metric=metric, seed=seed)
        self.params = filled(params, lists=lists, bytes=room)

    def _probed(self, queries: FloatArray, params: Any) -> IntArray | None:
        centroids = self._lists["centroids"]
        if params.nprobe >= len(centroids):
            return None
        near = queries @ centroids.T
        if self._metric == "l2":
            near -= np.einsum("ld,ld->l", centroids, centroids) / 2
        return np.asarray(np.argpartition(-near, params.nprobe - 1, axis=1)[:, : params.nprobe], np.int64)


def _lists_within(allowed: int | None, n: int, d: int) -> int:
    """As many lists as n vectors want, or as an eighth of the bytes allowed can hold the centroids of."""
    lists = automatic_lists(n)
    while allowed is not None and lists > 1 and lists * 4 * d > allowed / 8:
        lists //= 2
    return lists
