"""Inverted lists of product-quantized vectors, with the best candidates re-ranked by vectors kept more exactly."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import faiss
import numpy as np
from pydantic import Field

from retrieval_bench.indexes._faiss import (
    METRICS,
    FaissIndex,
    check_enough,
    drop_tables,
    filled,
    seed_clustering,
    training_rows,
)
from retrieval_bench.indexes._pq_plan import Layout, Refine, Wanted, choose
from retrieval_bench.indexes.ivf import MOST_LISTS, IvfSearch, probing
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, Metric, Params, Queries

_PQ_ROWS = 16_384  # at least 64 for each codeword of 8 bits; more cost in proportion


class IvfPqBuild(Params):
    """How vectors are divided and compressed. What is None is chosen from the data and the budget."""

    lists: int | None = Field(None, ge=1, le=MOST_LISTS, description="inverted lists; None: about 2 * sqrt(n)")
    code_bytes: int | None = Field(None, ge=1, le=4096, description="bytes of one code; None: what the budget allows")
    bits: Literal[4, 8] | None = Field(
        None,
        description="bits of one sub-quantizer; None: 4, scanned in registers, or 8 where the codes alone decide",
    )
    refine: Refine | None = Field(None, description="vectors kept to re-rank with; None: the most exact that fits")


class IvfPqSearch(IvfSearch):
    """How much is looked at."""

    refine_factor: int = Field(
        4, ge=1, le=1024, description="candidates re-ranked for each hit; without effect where refine is none"
    )


def refinable(form: str) -> str:
    """The pattern of an index of this form, alone or with vectors kept to re-rank with."""
    return rf"{form}|refine\({form},(flat|scalar)\)"


@indexes.register("ivf_pq")
class IvfPq(FaissIndex):
    """Product quantization of residuals (Jegou, Douze, Schmid 2011), 4-bit codes by fast scan (Andre et al. 2015)."""

    name = "ivf_pq"
    forms = refinable(r"ivfpq4?")
    BuildParams: ClassVar[type[Params]] = IvfPqBuild
    SearchParams: ClassVar[type[Params]] = IvfPqSearch
    rotated: ClassVar[bool] = False

    def build(
        self,
        corpus: Corpus,
        params: IvfPqBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns from the corpus alone
        seed: int = 0,
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: no layout fits.
            DataError: fewer vectors than lists or codewords.
            UsageError: code_bytes does not divide the dimensions.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        wanted = Wanted(n=n, d=d, rotated=self.rotated, dim=getattr(params, "opq_dim", None), **_fixed(params))
        layout = choose(self.name, wanted, budget)
        check_enough(n, layout.lists, 1 << layout.bits)
        training = training_rows(vectors, layout.lists, seed)
        coded = self._transformed(_inverted_file(layout, METRICS[metric], seed), d, layout, training, seed)
        index = coded if layout.refine == "none" else faiss.IndexRefine(coded, kept(d, layout.refine, METRICS[metric]))
        self._fill(index, vectors, training)
        self.params = filled(
            params,
            lists=layout.lists,
            code_bytes=layout.code_bytes,
            bits=layout.bits,
            refine=layout.refine,
            **self._chosen(layout),
        )

    def _transformed(self, index: Any, d: int, layout: Layout, training: FloatArray, seed: int) -> Any:  # noqa: ARG002
        """The index with what stands before it."""
        return index

    def _chosen(self, layout: Layout) -> dict[str, int]:  # noqa: ARG002
        """Build parameters of a subclass, as used."""
        return {}

    def _found(self, vectors: FloatArray, k: int, params: Any, settings: Any) -> tuple[FloatArray, IntArray]:
        values, rows = super()._found(vectors, k, params, settings)
        if params.nprobe >= self.params.lists and self._index.metric_type == faiss.METRIC_INNER_PRODUCT:
            _fill_up(self._index, vectors, values, rows)
        return values, rows

    def _search_parameters(self, k: int, params: Any) -> faiss.SearchParameters:  # noqa: ARG002 - any k will do
        index = self._index
        refined = isinstance(index, faiss.IndexRefine)
        base = faiss.downcast_index(index.base_index) if refined else index
        turned = isinstance(base, faiss.IndexPreTransform)
        settings = probing(params.nprobe, self.params.lists)
        if turned:
            settings = faiss.SearchParametersPreTransform(index_params=settings)
        if refined:
            settings = faiss.IndexRefineSearchParameters(k_factor=params.refine_factor, base_index_params=settings)
        return settings


def _fill_up(index: Any, vectors: FloatArray, values: FloatArray, rows: IntArray) -> None:
    """Put the rows that a fast scan never returns where hits are missing, in place.

    It keeps what is better than the least that a byte can say, so under inner product the rows with the least score of
    all are lost, which are most of them where vectors are sparse.
    """
    everything = np.arange(index.ntotal)
    for i in np.flatnonzero(rows[:, -1] < 0):
        there = int((rows[i] >= 0).sum())
        lost = np.setdiff1d(everything, rows[i, :there], assume_unique=True)
        if isinstance(index, faiss.IndexRefine):
            scores = index.refine_index.reconstruct_batch(lost) @ vectors[i]
        else:  # no vectors to compare with: no better than the last that was found
            scores = np.full(len(lost), values[i, there - 1] if there else 0.0, np.float32)
        best = np.argsort(-scores, kind="stable")[: rows.shape[1] - there]
        rows[i, there : there + len(best)], values[i, there : there + len(best)] = lost[best], scores[best]


def _fixed(params: Any) -> dict[str, Any]:
    return {"bits": params.bits, "lists": params.lists, "code_bytes": params.code_bytes, "refine": params.refine}


def _inverted_file(layout: Layout, metric: int, seed: int) -> Any:
    quantizer = faiss.IndexFlat(layout.dim, metric)
    kind = faiss.IndexIVFPQFastScan if layout.bits == 4 else faiss.IndexIVFPQ
    index = kind(quantizer, layout.dim, layout.lists, layout.sub_quantizers, layout.bits, metric)
    index.by_residual = True
    drop_tables(index)
    seed_clustering(index.cp, seed)
    seed_clustering(index.pq.cp, seed)
    index.pq.cp.max_points_per_centroid = _PQ_ROWS >> layout.bits
    return index


def kept(d: int, refine: Refine, metric: int) -> Any:
    """An empty index that keeps vectors of d dimensions to re-rank with."""
    if refine == "float32":
        return faiss.IndexFlat(d, metric)
    kinds = {"fp16": faiss.ScalarQuantizer.QT_fp16, "int8": faiss.ScalarQuantizer.QT_8bit}
    return faiss.IndexScalarQuantizer(d, kinds[refine], metric)
