"""AdANNS-OPQ: product quantization of a prefix of nested vectors, scanned whole, re-ranked on another prefix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np

from retrieval_bench.arrays import unfit
from retrieval_bench.files import atomic_file
from retrieval_bench.indexes._adanns import AdannsIndex, AdannsSearch
from retrieval_bench.indexes._adanns_calibration import Cost
from retrieval_bench.indexes._adanns_kept import FORMS, KeptVectors
from retrieval_bench.indexes._adanns_nesting import nested
from retrieval_bench.indexes._adanns_pq import AdannsPqBuild, plan, rotation, sampled
from retrieval_bench.indexes._adanns_rank import prefixes
from retrieval_bench.indexes._faiss import METRICS, filled, read_faiss, seed_clustering
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, MemoryReport, Metric, Params, Queries


@indexes.register("adanns_opq")
class AdannsOpq(AdannsIndex):
    """Section 4.2 of AdANNS: at equal bytes, codes of a prefix can say more than codes of all dimensions."""

    name = "adanns_opq"
    BuildParams: ClassVar[type[Params]] = AdannsPqBuild
    SearchParams: ClassVar[type[Params]] = AdannsSearch
    _index: Any
    _kept: KeptVectors

    def build(
        self,
        corpus: Corpus,
        params: AdannsPqBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: no layout fits.
            DataError: fewer vectors than codewords.
            UsageError: d_s, dim or code_bytes is more than there are dimensions.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        layout = plan(self.name, params, n, d, budget)
        self._nesting, documents = nested(params, vectors, layout.kept, metric=metric, queries=queries, seed=seed)
        self._metric, self._documents = metric, n
        prefix = np.ascontiguousarray(documents[:, : layout.d_s])
        turn = rotation(layout, prefix, seed)
        coded = faiss.IndexPQ(layout.turned, layout.code_bytes, 8, METRICS[metric])
        seed_clustering(coded.pq.cp, seed)
        coded.train(turn.apply(sampled(prefix, seed)))
        self._index = faiss.IndexPreTransform(turn, coded)
        self._index.add(prefix)
        self._kept = KeptVectors.of(documents, layout.refine)
        self.params = filled(
            params, dim=layout.kept, d_s=layout.d_s, code_bytes=layout.code_bytes, refine=layout.refine
        )
        self._calibrate(corpus, documents, queries, seed)

    def _defaults(self) -> dict[str, int]:
        return {"d_r": self._nesting.kept, "refine_factor": 4}

    def _settings(self) -> Iterable[Mapping[str, int]]:
        if self.params.refine == "none":
            return [{"refine_factor": 1}]
        factors = (1 << shift for shift in range(1, 7))
        return [{"d_r": d_r, "refine_factor": factor} for factor in factors for d_r in prefixes(self._nesting.kept)]

    def _check(self, params: Any) -> None:
        """Every prefix can be scored again: the codes are not part of the final score."""

    def _answer(self, asked: FloatArray, k: int, params: Any) -> tuple[IntArray, FloatArray]:
        refined = self.params.refine != "none"
        depth = min(k * params.refine_factor, self._documents) if refined else k
        values, rows = self._index.search(np.ascontiguousarray(asked[:, : self.params.d_s]), depth)
        if refined:
            return rows, self._kept.scores(asked[:, : params.d_r], rows, self._metric)
        return rows, -values if self._metric == "l2" else values

    def cost(self, queries: Queries, params: Any) -> Cost:  # noqa: ARG002 - all queries read alike
        """See AdannsIndex.cost."""
        setting = self.setting(1, params)
        width = self._kept.codes.itemsize if self.params.refine != "none" else 0
        return Cost(fixed=self._documents * self.params.code_bytes, per_hit=setting.refine_factor * setting.d_r * width)

    def memory(self) -> MemoryReport:
        """See protocols.Index: codes of a prefix, and the nested vectors once where they are kept to re-rank with."""
        coded = faiss.downcast_index(self._index.index)
        turn = faiss.downcast_VectorTransform(self._index.chain.at(0))
        return MemoryReport(
            parts={
                "codes": coded.ntotal * coded.code_size,
                "codebooks": 4 * coded.pq.centroids.size(),
                "rotation": 4 * (turn.A.size() + turn.b.size()),
                "originals": self._kept.nbytes,
                **self._shared_parts(),
            }
        )

    def save(self, folder: Path) -> None:
        """Write ``index.faiss``, the arrays, ``index.json``, ``params.json`` and ``calibration.json``."""
        with atomic_file(folder / "index.faiss") as path:
            faiss.write_index(self._index, str(path))
        self._write(folder, {"codes": self._kept.codes, "low": self._kept.low, "step": self._kept.step})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote; raises ArtifactError."""
        loaded = cls()
        arrays = loaded._read(folder, **FORMS)
        loaded._kept = KeptVectors.checked(folder, loaded.params.refine, loaded._nesting.kept, arrays)
        if loaded.params.d_s > loaded._nesting.kept:
            raise unfit(folder, "its codes are of more dimensions than are kept")
        loaded._index = read_faiss(folder / "index.faiss", r"turn\(product\)", loaded._documents, loaded.params.d_s)
        return loaded
