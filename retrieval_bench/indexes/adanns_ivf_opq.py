"""AdANNS composite: lists clustered on one prefix, codes of another, re-ranking on a third."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.arrays import unfit
from retrieval_bench.files import atomic_file
from retrieval_bench.indexes._adanns import AdannsIndex, AdannsSearch
from retrieval_bench.indexes._adanns_calibration import Cost
from retrieval_bench.indexes._adanns_kept import FORMS, KeptVectors
from retrieval_bench.indexes._adanns_lists import cluster, nearest_lists
from retrieval_bench.indexes._adanns_nesting import MOST_DIMENSIONS, nested
from retrieval_bench.indexes._adanns_pq import AdannsPqBuild, PqLayout, plan, rotation, sampled
from retrieval_bench.indexes._faiss import METRICS, drop_tables, filled, read_faiss, seed_clustering
from retrieval_bench.indexes._faiss_memory import bytes_by_part
from retrieval_bench.indexes.ivf import MOST_LISTS, PROBED, automatic_lists
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, MemoryReport, Metric, Params, Queries


class AdannsIvfOpqBuild(AdannsPqBuild):
    """How vectors are nested, divided and compressed. What is None is chosen from the data and the budget."""

    lists: int | None = Field(None, ge=1, le=MOST_LISTS, description="inverted lists; None: about 2 * sqrt(n)")
    d_c: int | None = Field(
        None, ge=1, le=MOST_DIMENSIONS, description="leading dimensions that are clustered; None: a quarter of them"
    )


class AdannsIvfOpqSearch(AdannsSearch):
    """How much is looked at. What is None has its default, or is chosen by ``bytes_read`` or ``latency_ms``."""

    nprobe: int | None = Field(None, ge=1, le=MOST_LISTS, description=f"{PROBED}; None: 8")


@indexes.register("adanns_ivf_opq")
class AdannsIvfOpq(AdannsIndex):
    """Section 4.3 of AdANNS; codes are of residuals from the mean of a list, as in Jegou, Douze and Schmid 2011."""

    name = "adanns_ivf_opq"
    BuildParams: ClassVar[type[Params]] = AdannsIvfOpqBuild
    SearchParams: ClassVar[type[Params]] = AdannsIvfOpqSearch
    _index: Any
    _kept: KeptVectors
    _centroids: FloatArray

    def build(
        self,
        corpus: Corpus,
        params: AdannsIvfOpqBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: no layout fits.
            DataError: fewer vectors than lists or codewords.
            UsageError: d_c, d_s, dim or code_bytes is more than there are dimensions.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        usual = automatic_lists(n)
        lists = (params.lists,) if params.lists else tuple(usual >> shift for shift in range(usual.bit_length()))
        d_c = params.d_c or -(-(params.dim or d) // 4)
        layout = plan(self.name, params, n, d, budget, lists=lists, d_c=d_c)
        self._nesting, documents = nested(params, vectors, layout.kept, metric=metric, queries=queries, seed=seed)
        self._metric, self._documents = metric, n
        self._centroids, members = cluster(documents[:, :d_c], layout.lists, metric, seed)
        self._index = _coded(layout, documents, members, metric, seed)
        self._kept = KeptVectors.of(documents, layout.refine)
        self.params = filled(
            params,
            dim=layout.kept,
            d_s=layout.d_s,
            d_c=d_c,
            lists=layout.lists,
            code_bytes=layout.code_bytes,
            refine=layout.refine,
        )
        self._calibrate(corpus, documents, queries, seed)

    def _defaults(self) -> dict[str, int]:
        return {"nprobe": min(8, self.params.lists), "d_r": self._nesting.kept, "refine_factor": 4}

    def _settings(self) -> Iterable[Mapping[str, int]]:
        factors = (1,) if self.params.refine == "none" else (2, 8, 32)
        for nprobe in (1 << shift for shift in range(self.params.lists.bit_length())):
            for factor in factors:
                for d_r in {self._nesting.kept, -(-self._nesting.kept // 2)}:
                    yield {"nprobe": nprobe, "d_r": d_r, "refine_factor": factor}

    def _answer(self, asked: FloatArray, k: int, params: Any) -> tuple[IntArray, FloatArray]:
        refined = self.params.refine != "none"
        depth = min(k * params.refine_factor, self._documents) if refined else k
        values, rows = self._scan(asked, self._probed(asked, params.nprobe), depth)
        if refined:
            return rows, self._kept.scores(asked[:, : params.d_r], rows, self._metric)
        return rows, -values if self._metric == "l2" else values

    def _probed(self, asked: FloatArray, nprobe: int) -> IntArray:
        return nearest_lists(asked[:, : self.params.d_c], self._centroids, nprobe, self._metric)

    def _scan(self, asked: FloatArray, probed: IntArray, depth: int) -> tuple[FloatArray, IntArray]:
        """Scan the codes of lists that were chosen by other dimensions than the codes are of."""
        turn = faiss.downcast_VectorTransform(self._index.chain.at(0))
        coded = faiss.downcast_index(self._index.index)
        turned = turn.apply(np.ascontiguousarray(asked[:, : self.params.d_s]))
        probed = np.ascontiguousarray(probed, np.int64)
        m, nprobe = probed.shape
        values, rows = np.empty((m, depth), np.float32), np.empty((m, depth), np.int64)
        pointer = faiss.swig_ptr
        unused = np.zeros((m, nprobe), np.float32)  # distances to centroids, which only precomputed tables need
        coded.search_preassigned_c(
            m, pointer(turned), depth, pointer(probed), pointer(unused), pointer(values), pointer(rows), False,
            faiss.SearchParametersIVF(nprobe=nprobe),
        )  # fmt: skip
        return values, rows

    def cost(self, queries: Queries, params: Any) -> Cost:
        """See AdannsIndex.cost."""
        setting = self.setting(1, params)
        asked = self._nesting.queries(queries.require_vectors(), self._metric)
        lists = faiss.downcast_index(self._index.index).invlists
        sizes = np.array([lists.list_size(i) for i in range(self.params.lists)])
        probed = self._probed(asked, setting.nprobe)
        scanned = float(sizes[probed].sum(axis=1).mean())
        means = 4 * probed.shape[1] * self._index.index.d
        width = self._kept.codes.itemsize if self.params.refine != "none" else 0
        return Cost(
            fixed=self._centroids.nbytes + means + scanned * (self.params.code_bytes + 8),
            per_hit=setting.refine_factor * setting.d_r * width,
        )

    def memory(self) -> MemoryReport:
        """See protocols.Index: ``centroids`` of d_c dimensions choose lists, those in ``means`` code residuals."""
        parts = bytes_by_part(self._index)
        return MemoryReport(
            parts={
                **parts,
                "means": parts["centroids"],
                "centroids": self._centroids.nbytes,
                "originals": self._kept.nbytes,
                **self._shared_parts(),
            }
        )

    def save(self, folder: Path) -> None:
        """Write ``index.faiss``, the arrays, ``index.json``, ``params.json`` and ``calibration.json``."""
        with atomic_file(folder / "index.faiss") as path:
            faiss.write_index(self._index, str(path))
        kept = {"codes": self._kept.codes, "low": self._kept.low, "step": self._kept.step}
        self._write(folder, {**kept, "centroids": self._centroids})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote; raises ArtifactError."""
        loaded = cls()
        arrays = loaded._read(folder, centroids=(np.float32, (None, None)), **FORMS)
        loaded._centroids, params = arrays.pop("centroids"), loaded.params
        loaded._kept = KeptVectors.checked(folder, params.refine, loaded._nesting.kept, arrays)
        path, form = folder / "index.faiss", r"turn\(ivfpq\)"
        loaded._index = read_faiss(path, form, loaded._documents, params.d_s, lists=params.lists)
        if loaded._centroids.shape != (params.lists, params.d_c):
            raise unfit(folder, "the centroids are not those of its lists")
        if not max(params.d_s, params.d_c) <= loaded._nesting.kept:
            raise unfit(folder, "its lists or codes are of more dimensions than are kept")
        drop_tables(loaded._index)
        return loaded


def _coded(layout: PqLayout, documents: FloatArray, members: IntArray, metric: Metric, seed: int) -> Any:
    """The codes of the prefix d_s of documents (n, kept), in the lists (n,) that their prefix d_c belongs to."""
    prefix = np.ascontiguousarray(documents[:, : layout.d_s])
    turn = rotation(layout, prefix, seed)
    turned = turn.apply(prefix)
    means = np.zeros((layout.lists, layout.turned), np.float32)
    np.add.at(means, members, turned)
    means /= np.maximum(np.bincount(members, minlength=layout.lists), 1)[:, None]
    quantizer = faiss.IndexFlat(layout.turned, METRICS[metric])
    quantizer.add(means)
    coded = faiss.IndexIVFPQ(quantizer, layout.turned, layout.lists, layout.code_bytes, 8, METRICS[metric])
    coded.by_residual = True
    drop_tables(coded)
    seed_clustering(coded.pq.cp, seed)
    coded.pq.train(sampled(turned - means[members], seed))
    coded.is_trained = True
    pointer = faiss.swig_ptr
    coded.add_core(len(turned), pointer(turned), None, pointer(np.ascontiguousarray(members, np.int64)))
    return faiss.IndexPreTransform(turn, coded)
