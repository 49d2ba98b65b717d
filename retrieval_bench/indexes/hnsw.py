"""A navigable graph over the original vectors."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.errors import UsageError
from retrieval_bench.indexes._faiss import METRICS, FaissIndex, filled
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, Metric, Params, Queries

_AUTOMATIC_M = (16, 12, 8, 6, 4)


class HnswBuild(Params):
    """How the graph is made."""

    m: int | None = Field(None, ge=2, le=256, description="links per vector and layer, twice as many on the lowest")
    ef_construction: int = Field(100, ge=4, le=4096, description="candidates kept while a vector is linked in")


class HnswSearch(Params):
    """How much is looked at."""

    ef: int = Field(
        64, ge=1, le=65_536, description="candidates kept while searching, at least k; from n on, all rows are scanned"
    )


def graph_bytes(n: int, m: int) -> int:
    """The most bytes of a graph over n vectors.

    A vector reaches layer l with probability m^-l, so it has m / (m - 1) links above the lowest layer on average; four
    standard deviations are added for the chance in it.
    """
    upper = n / (m - 1) + 4 * math.sqrt(n * m) / (m - 1)
    return math.ceil(4 * m * (2 * n + upper)) + 4 * n + 8 * (n + 1)


@indexes.register("hnsw")
class Hnsw(FaissIndex):
    """Malkov and Yashunin 2018, by faiss: it needs no compiler to install and takes ``ef`` per call.

    One thread gives the same graph for the same seed; with several, the order of insertion differs from run to run.
    Some rows no walk of a graph can reach, as among many equal ones, or behind long ones under inner product: so who
    asks for all candidates gets a scan.
    """

    name = "hnsw"
    forms = "hnsw"
    BuildParams: ClassVar[type[Params]] = HnswBuild
    SearchParams: ClassVar[type[Params]] = HnswSearch

    def build(
        self,
        corpus: Corpus,
        params: HnswBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns nothing
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: vectors and links do not fit.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        allowed = allowed_bytes(budget, n)
        choices = [params.m] if params.m else _AUTOMATIC_M
        fitting = (m for m in choices if allowed is None or 4 * n * d + graph_bytes(n, m) <= allowed)
        m = next(fitting, choices[-1])
        require_bytes(f"hnsw (m = {m}, float32, {d} dimensions)", 4 * n * d + graph_bytes(n, m), budget, n)

        index = faiss.IndexHNSWFlat(d, m, METRICS[metric])
        index.hnsw.efConstruction = params.ef_construction
        index.hnsw.rng = faiss.RandomGenerator(int(np.random.default_rng(seed).integers(1 << 31)))
        self.params = filled(params, m=m)
        self._fill(index, vectors)

    def _search_parameters(self, k: int, params: Any) -> faiss.SearchParametersHNSW:
        if params.ef < k:
            raise UsageError(f"ef = {params.ef} candidates cannot give k = {k} hits; use ef >= k")
        return faiss.SearchParametersHNSW(efSearch=params.ef)

    def _found(self, vectors: FloatArray, k: int, params: Any, settings: Any) -> tuple[FloatArray, IntArray]:
        return walked(self._index, vectors, k, params.ef, settings)


def walked(graph: Any, vectors: FloatArray, k: int, ef: int, settings: Any) -> tuple[FloatArray, IntArray]:
    """Distances or products (m, k) and rows (m, k) from a faiss graph, or from all its vectors where ef is all."""
    everything = ef >= graph.ntotal
    values, rows = graph.storage.search(vectors, k) if everything else graph.search(vectors, k, params=settings)
    return values, rows
