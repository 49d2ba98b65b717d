"""The graph of usearch, in single or half precision. The file has its name, and does not hide it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from usearch.index import Index as Graph

from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.files import atomic_file
from retrieval_bench.indexes._graph_files import check_usearch
from retrieval_bench.indexes._peer import PeerIndex, enough_candidates
from retrieval_bench.indexes.hnsw import HnswBuild, HnswSearch
from retrieval_bench.registry import indexes
from retrieval_bench.threads import threads
from retrieval_bench.types import Budget, Corpus, FloatArray, MemoryReport, Metric, Params, Queries

Precision = Literal["f32", "f16"]
_WIDTH: dict[Precision, int] = {"f32": 4, "f16": 2}
_METRIC = {"ip": "ip", "l2": "l2sq"}
_AUTOMATIC_M = (16, 12, 8, 6, 4)
# Of each vector, beside what is saved: a pointer to its node, an entry of the table that finds it by its key, and what
# alignment and the allocator add: 88 to 112 in all, by precision, dimensions and links.
_ENTRY_BYTES = 100
_FILE = "index.usearch"


class UsearchBuild(HnswBuild):
    """How the graph is made, and how exactly vectors are kept."""

    precision: Precision | None = Field(None, description="of the vectors; None: f32, or f16 where bytes are short")


def graph_bytes(n: int, m: int) -> int:
    """The most bytes of keys, levels, links and entries of n vectors."""
    upper = n / (m - 1) + 4 * math.sqrt(n * m) / (m - 1)
    return math.ceil(n * (8 * m + 4 + 10 + 2 + _ENTRY_BYTES) + upper * (4 * m + 4)) + 4096


@indexes.register("usearch")
class Usearch(PeerIndex):
    """Vardanian 2023; HNSW of Malkov and Yashunin 2018 with kernels for each kind of number."""

    name = "usearch"
    BuildParams: ClassVar[type[Params]] = UsearchBuild
    SearchParams: ClassVar[type[Params]] = HnswSearch

    def build(
        self,
        corpus: Corpus,
        params: UsearchBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns nothing
        seed: int = 0,  # noqa: ARG002 - the library draws its levels from a seed of its own
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: vectors and links do not fit.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        allowed = allowed_bytes(budget, n)
        precisions: list[Precision] = [params.precision] if params.precision else ["f32", "f16"]
        choices = [(p, m) for p in precisions for m in ([params.m] if params.m else _AUTOMATIC_M)]

        def needed(precision: Precision, m: int) -> int:
            width: int = n * d * _WIDTH[precision]
            return width + graph_bytes(n, m)

        precision, m = next((c for c in choices if allowed is None or needed(*c) <= allowed), choices[-1])
        what = f"usearch (m = {m}, {precision}, {d} dimensions)"
        require_bytes(what, needed(precision, m), budget, n)
        self.params = params.model_copy(update={"m": m, "precision": precision})
        self._shape, self._metric = (n, d), metric
        self._index = self._empty()
        self._index.add(np.arange(n), vectors, threads=budget.threads or threads())

    def _empty(self) -> Any:
        return Graph(
            ndim=self._shape[1],
            metric=_METRIC[self._metric],
            dtype=self.params.precision,
            connectivity=self.params.m,
            expansion_add=self.params.ef_construction,
        )

    def _nearest(self, vectors: FloatArray, k: int, params: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        enough_candidates("ef", params.ef, k)

        def change(ef: int) -> None:
            self._index.expansion_search = ef

        with self._setting.at(params.ef, change):
            everything = params.ef >= self._shape[0]  # some rows no walk of the graph can reach (see ``Hnsw``)
            found = self._index.search(vectors, k, threads=threads(), exact=everything)
        m = len(vectors)
        rows, distances = found.keys.reshape(m, -1).astype(np.int64), found.distances.reshape(m, -1)
        short = np.arange(rows.shape[1]) >= np.atleast_1d(getattr(found, "counts", rows.shape[1]))[:, None]
        return np.where(short, -1, rows), (1 - distances if self._metric == "ip" else -distances)

    def memory(self) -> MemoryReport:
        """See protocols.Index."""
        n, d = self._shape
        vectors = n * d * _WIDTH[self.params.precision]
        graph = self._index.serialized_length - vectors
        return MemoryReport(parts={"vectors": vectors, "graph": graph, "entries": _ENTRY_BYTES * n})

    def _write(self, folder: Path) -> None:
        with atomic_file(folder / _FILE) as path:
            self._index.save(str(path))

    def _read(self, folder: Path) -> None:
        precision, m = self.params.precision, self.params.m
        check_usearch(folder / _FILE, *self._shape, m, precision=precision, metric=self._metric)
        self._index = self._empty()
        self._index.load(str(folder / _FILE))
