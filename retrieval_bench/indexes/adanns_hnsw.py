"""AdANNS composite with a graph: links follow one prefix of nested vectors, re-ranking adds the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.arrays import unfit
from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.errors import UsageError
from retrieval_bench.files import atomic_file
from retrieval_bench.indexes._adanns import AdannsIndex, AdannsSearch
from retrieval_bench.indexes._adanns_calibration import CALIBRATION_BYTES, Cost, K
from retrieval_bench.indexes._adanns_nesting import MOST_DIMENSIONS, AdannsBuild, nested, nesting_bytes
from retrieval_bench.indexes._adanns_rank import pair_scores
from retrieval_bench.indexes._faiss import METRICS, filled, read_faiss
from retrieval_bench.indexes._faiss_memory import bytes_by_part
from retrieval_bench.indexes.hnsw import graph_bytes, walked
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, MemoryReport, Metric, Params, Queries

_LEAST_DIMENSIONS = 8  # fewer are not kept to fit a budget, unless asked for


class AdannsHnswBuild(AdannsBuild):
    """How vectors are nested and linked."""

    d_s: int | None = Field(
        None, ge=1, le=MOST_DIMENSIONS, description="leading dimensions that the graph follows; None: half of them"
    )
    m: int = Field(16, ge=2, le=256, description="links per vector and layer, twice as many on the lowest")
    ef_construction: int = Field(100, ge=4, le=4096, description="candidates kept while a vector is linked in")


class AdannsHnswSearch(AdannsSearch):
    """How much is looked at. What is None has its default, or is chosen by ``bytes_read`` or ``latency_ms``."""

    ef: int | None = Field(
        None, ge=1, le=65_536, description="candidates kept while searching, never fewer than are re-ranked; None: 64"
    )


@indexes.register("adanns_hnsw")
class AdannsHnsw(AdannsIndex):
    """Section 4.3 of AdANNS, with faiss's graph (Malkov and Yashunin 2018) in the place of DiskANN."""

    name = "adanns_hnsw"
    BuildParams: ClassVar[type[Params]] = AdannsHnswBuild
    SearchParams: ClassVar[type[Params]] = AdannsHnswSearch
    _graph: Any
    _rest: FloatArray

    def build(
        self,
        corpus: Corpus,
        params: AdannsHnswBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """See protocols.Index. A byte budget drops the last of the nested dimensions.

        Raises:
            BudgetError: vectors, links and the nesting do not fit.
            UsageError: d_s or dim is more than there are.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        kept = _kept(params, n, d, budget)
        d_s = params.d_s or -(-kept // 2)
        self._nesting, documents = nested(params, vectors, kept, metric=metric, queries=queries, seed=seed)
        self._metric, self._documents = metric, n
        self._graph = faiss.IndexHNSWFlat(d_s, params.m, METRICS[metric])
        self._graph.hnsw.efConstruction = params.ef_construction
        self._graph.hnsw.rng = faiss.RandomGenerator(int(np.random.default_rng(seed).integers(1 << 31)))
        self._graph.add(np.ascontiguousarray(documents[:, :d_s]))
        self._rest = np.ascontiguousarray(documents[:, d_s:])
        self.params = filled(params, dim=kept, d_s=d_s)
        self._calibrate(corpus, documents, queries, seed)

    def _defaults(self) -> dict[str, int]:
        return {"d_r": self._nesting.kept, "refine_factor": 4, "ef": 64}

    def _settings(self) -> Iterable[Mapping[str, int]]:
        for ef in (16, 32, 64, 128, 256, 512):
            yield {"d_r": self.params.d_s, "refine_factor": 1, "ef": ef}
            for factor in (2, 4, 8):
                yield {"d_r": self._nesting.kept, "refine_factor": factor, "ef": ef}

    def _check(self, params: Any) -> None:
        if params.d_r < self.params.d_s:
            raise UsageError(f"d_r = {params.d_r} is less than the d_s = {self.params.d_s} that the graph scores")

    def _answer(self, asked: FloatArray, k: int, params: Any) -> tuple[IntArray, FloatArray]:
        d_s, d_r = self.params.d_s, params.d_r
        depth = k if d_r == d_s else min(k * params.refine_factor, self._documents)
        ef = max(params.ef, depth)
        settings = faiss.SearchParametersHNSW(efSearch=ef)
        scores, rows = walked(self._graph, np.ascontiguousarray(asked[:, :d_s]), depth, ef, settings)
        if self._metric == "l2":
            np.negative(scores, out=scores)
        if d_r > d_s:
            scores = scores + pair_scores(asked[:, d_s:d_r], self._rest[:, : d_r - d_s], rows, self._metric)
        return rows, scores

    def cost(self, queries: Queries, params: Any) -> Cost:
        """See AdannsIndex.cost; counted by faiss, in one counter for the process."""
        setting = self.setting(1, params)
        asked = self._nesting.queries(queries.require_vectors(), self._metric)
        faiss.cvar.hnsw_stats.reset()
        self._answer(asked, K, setting)
        stats = faiss.cvar.hnsw_stats
        d_s, links = self.params.d_s, 2 * self.params.m
        return Cost(
            fixed=4 * (stats.ndis * d_s + stats.nhops * links) / len(asked),
            per_hit=4 * (setting.d_r - d_s) * setting.refine_factor,
        )

    def memory(self) -> MemoryReport:
        """See protocols.Index: the graph holds the prefix, ``rest`` the dimensions after it, so nothing is twice."""
        parts = bytes_by_part(self._graph)
        return MemoryReport(parts={**parts, "rest": self._rest.nbytes, **self._shared_parts()})

    def save(self, folder: Path) -> None:
        """Write ``index.faiss``, the arrays, ``index.json``, ``params.json`` and ``calibration.json``."""
        with atomic_file(folder / "index.faiss") as path:
            faiss.write_index(self._graph, str(path))
        self._write(folder, {"rest": self._rest})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote; raises ArtifactError."""
        loaded = cls()
        loaded._rest = loaded._read(folder, rest=(np.float32, ("n", None)))["rest"]
        d_s = loaded.params.d_s
        loaded._graph = read_faiss(folder / "index.faiss", "hnsw", loaded._documents, d_s)
        if d_s + loaded._rest.shape[1] != loaded._nesting.kept:
            raise unfit(folder, "the graph and the other dimensions are not those that are kept")
        return loaded


def _kept(params: AdannsHnswBuild, n: int, d: int, budget: Budget) -> int:
    """Dimensions kept: all that fit."""
    most = params.dim or d
    for name, value in (("dim", most), ("d_s", params.d_s or 1)):
        if value > min(most, d):
            raise UsageError(f"adanns_hnsw: {name} = {value} is more than the {min(most, d)} dimensions there are")

    def total(kept: int) -> int:
        links = graph_bytes(n, params.m)
        return 4 * n * kept + links + nesting_bytes(params.nesting, d, kept) + CALIBRATION_BYTES

    allowed = allowed_bytes(budget, n)
    least = params.dim or max(min(_LEAST_DIMENSIONS, d), params.d_s or 1)
    kept = next((kept for kept in range(most, least, -1) if allowed is None or total(kept) <= allowed), least)
    require_bytes(f"adanns_hnsw (m = {params.m}, {kept} dimensions kept)", total(kept), budget, n)
    return kept
