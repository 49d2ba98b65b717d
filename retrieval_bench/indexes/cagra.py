"""CAGRA: a graph built and searched on a GPU, by a faiss that has cuVS. An optional peer."""

from __future__ import annotations

from typing import Any, ClassVar

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.budgets import require_bytes
from retrieval_bench.errors import UnavailableError, UsageError
from retrieval_bench.indexes import _faiss_gpu as gpu
from retrieval_bench.indexes._faiss import METRICS, FaissIndex
from retrieval_bench.indexes.hnsw import graph_bytes
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, Metric, Params, Queries


def check_cuvs() -> None:
    """Refuse what cannot run here.

    Raises:
        UnavailableError: no GPU, or a faiss without cuVS.
    """
    if not gpu.available():
        raise UnavailableError("cagra needs an NVIDIA GPU that faiss finds; hnsw is the graph for the CPU")
    if not gpu.has_cuvs():
        raise UnavailableError("cagra needs a faiss with cuVS: pip install faiss-gpu-cu12-cuvs or faiss-gpu-cu13-cuvs")


check_cuvs()


class CagraBuild(Params):
    """How the graph is made."""

    degree: int = Field(32, ge=4, le=512, description="links of a vector")
    candidates: int = Field(64, ge=8, le=1024, description="links before pruning, at least the degree")


class CagraSearch(Params):
    """How much is looked at."""

    window: int = Field(64, ge=16, le=1024, description="candidates kept while searching (itopk_size); at least k")


@indexes.register("cagra")
class Cagra(FaissIndex):
    """Ootomo et al. 2024, "CAGRA: Highly Parallel Graph Construction and ANN Search for GPUs" (arXiv 2308.15136).

    Its build takes no seed: two builds of the same vectors can differ.
    """

    name = "cagra"
    forms = "cagra"
    BuildParams: ClassVar[type[Params]] = CagraBuild
    SearchParams: ClassVar[type[Params]] = CagraSearch

    def build(
        self,
        corpus: Corpus,
        params: CagraBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns nothing
        seed: int = 0,  # noqa: ARG002 - cuVS takes none
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: vectors and links do not fit.
            UsageError: fewer candidates than links.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        if params.candidates < params.degree:
            raise UsageError(f"candidates = {params.candidates} are fewer than degree = {params.degree} links")
        needed = 4 * n * d + graph_bytes(n, -(-params.degree // 2))
        require_bytes(f"cagra (degree = {params.degree}, float32, {d} dimensions)", needed, budget, n)
        settings = faiss.GpuIndexCagraConfig()
        settings.graph_degree, settings.intermediate_graph_degree = params.degree, params.candidates
        index = faiss.GpuIndexCagra(gpu.resources(), d, METRICS[metric], settings)
        index.train(np.ascontiguousarray(vectors))
        self.params, self.device, self._index = params, "cuda", index

    def _search_parameters(self, k: int, params: Any) -> Any:
        if params.window < k:
            raise UsageError(f"window = {params.window} candidates cannot give k = {k} hits; use window >= k")
        setting = faiss.SearchParametersCagra()
        setting.itopk_size = params.window
        return setting
