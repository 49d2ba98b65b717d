"""The graph of hnswlib, its authors' library. The file has its name, and does not hide it: imports are absolute."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import hnswlib
import numpy as np
import numpy.typing as npt

from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.errors import UsageError
from retrieval_bench.files import atomic_file
from retrieval_bench.indexes._graph_files import check_hnswlib
from retrieval_bench.indexes._nearest import Nearest
from retrieval_bench.indexes._peer import PeerIndex, enough_candidates
from retrieval_bench.indexes.hnsw import HnswBuild, HnswSearch
from retrieval_bench.registry import indexes
from retrieval_bench.threads import threads
from retrieval_bench.types import Budget, Corpus, FloatArray, MemoryReport, Metric, Params, Queries

_AUTOMATIC_M = (16, 12, 8, 6, 4)
_LABEL_BYTES = 8
_SCANNED = 4096  # rows scanned together
# Of each vector: a lock (40), a pointer to its upper links (8), its level (4), an entry of the table that finds it by
# its label (32 and a bucket of 8), and a mark of a search that has seen it (2).
_ENTRY_BYTES = 94
_LOCK_BYTES = 65_536 * 40  # of a pool, whatever the number of vectors
_FILE = "index.hnswlib"


def graph_bytes(n: int, m: int) -> int:
    """The most bytes of the links of n vectors: two m links and a count each, and those of the layers above."""
    upper = n / (m - 1) + 4 * math.sqrt(n * m) / (m - 1)
    return math.ceil(n * (8 * m + 4) + upper * (4 * m + 4)) + 256


@indexes.register("hnswlib")
class Hnswlib(PeerIndex):
    """Malkov and Yashunin 2018.

    One thread gives the same graph for the same seed. In memory the library holds more than it saves: ``entries`` and
    ``locks``.
    """

    name = "hnswlib"
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
        fixed = n * (4 * d + _LABEL_BYTES + _ENTRY_BYTES) + _LOCK_BYTES
        allowed = allowed_bytes(budget, n)
        choices = [params.m] if params.m else _AUTOMATIC_M
        fitting = (m for m in choices if allowed is None or fixed + graph_bytes(n, m) <= allowed)
        m = next(fitting, choices[-1])
        require_bytes(f"hnswlib (m = {m}, float32, {d} dimensions)", fixed + graph_bytes(n, m), budget, n)
        self._shape, self._metric = (n, d), metric
        self._index = hnswlib.Index(space=metric, dim=d)
        self._index.init_index(
            max_elements=n, M=m, ef_construction=params.ef_construction, random_seed=seed % (1 << 31)
        )
        self._index.add_items(vectors, np.arange(n), num_threads=budget.threads or threads())
        self.params = params.model_copy(update={"m": m})

    def _nearest(self, vectors: FloatArray, k: int, params: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        enough_candidates("ef", params.ef, k)
        if params.ef >= self._shape[0]:
            return self._scanned(vectors, k)
        with self._setting.at(params.ef, self._index.set_ef):
            try:
                rows, distances = self._index.knn_query(vectors, k, num_threads=threads())
            except RuntimeError as error:
                raise UsageError(
                    f"the graph gave fewer than k = {k} hits at ef = {params.ef}; raise ef, or build with a larger m"
                ) from error
        return rows.astype(np.int64), (1 - distances if self._metric == "ip" else -distances)

    def _scanned(self, vectors: FloatArray, k: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """From all rows; some of them no walk of the graph can reach (see ``Hnsw``)."""
        best, asked = Nearest(len(vectors), k), vectors.astype(np.float64)
        for start in range(0, self._shape[0], _SCANNED):
            numbers = np.arange(start, min(start + _SCANNED, self._shape[0]))
            rows = np.asarray(self._index.get_items(numbers, return_type="numpy"), np.float64)
            scores = asked @ rows.T
            if self._metric == "l2":
                scores = 2 * scores - np.square(rows).sum(axis=1) - np.square(asked).sum(axis=1)[:, None]
            best.add(slice(None), scores.astype(np.float32), start)
        return best.rows, best.scores

    def memory(self) -> MemoryReport:
        """See protocols.Index."""
        n, d = self._shape
        vectors, labels = 4 * n * d, _LABEL_BYTES * n
        links = self._index.index_file_size() - vectors - labels - 4 * n  # the file has a count of upper links for each
        entries = _ENTRY_BYTES * n
        return MemoryReport(
            parts={"vectors": vectors, "ids": labels, "graph": links, "entries": entries, "locks": _LOCK_BYTES}
        )

    def _write(self, folder: Path) -> None:
        with atomic_file(folder / _FILE) as path:
            self._index.save_index(str(path))

    def _read(self, folder: Path) -> None:
        check_hnswlib(folder / _FILE, *self._shape, self.params.m)
        self._index = hnswlib.Index(space=self._metric, dim=self._shape[1])
        self._index.load_index(str(folder / _FILE))
