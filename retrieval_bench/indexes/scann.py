"""ScaNN: inverted lists of 4-bit codes with anisotropic loss. The file has the library's name, and does not hide it."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scann import ReorderType
from scann.scann_ops.py import scann_ops_pybind as library

from retrieval_bench.arrays import load_array
from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.errors import UsageError
from retrieval_bench.indexes._faiss import check_enough
from retrieval_bench.indexes._peer import PeerIndex
from retrieval_bench.indexes._scann_files import checked_assets
from retrieval_bench.indexes.ivf import MOST_LISTS
from retrieval_bench.indexes.ivf_pq import IvfPqSearch
from retrieval_bench.registry import indexes
from retrieval_bench.threads import threads
from retrieval_bench.types import Budget, Corpus, FloatArray, MemoryReport, Metric, Params, Queries

Kept = Literal["float32", "bfloat16", "int8", "none"]
_KEPT: tuple[Kept, ...] = ("float32", "bfloat16", "int8", "none")
_WIDTH: dict[Kept, int] = {"float32": 4, "bfloat16": 2, "int8": 1, "none": 0}
_MEASURE = {"ip": "dot_product", "l2": "squared_l2"}
_WORDS = 16  # of a sub-quantizer: 4 bits
_THRESHOLD = 0.2  # its authors' advice for vectors of length 1: products below this share of it do not matter
_SPILL = 1.5  # its authors' advice (SOAR, section 3)
_TRAINING_ROWS = 100_000
_LISTS_OF_ROWS = "datapoint_to_token.npy"


class ScannBuild(Params):
    """How vectors are divided and compressed."""

    lists: int | None = Field(None, ge=1, le=MOST_LISTS, description="inverted lists; None: sqrt(n), as advised")
    width: int = Field(2, ge=1, le=64, description="dimensions of a sub-quantizer of 4 bits")
    spill: bool = Field(False, description="each vector in a second list (SOAR); inner product only")
    refine: Kept | None = Field(None, description="vectors kept to re-rank with; None: the most exact that fits")


@indexes.register("scann")
class Scann(PeerIndex):
    """Guo et al. 2020 (arXiv 1908.10396) and, for ``spill``, Sun et al. 2023 (SOAR, arXiv 2404.00774).

    The library has a seed of its own, so ``seed`` changes nothing. In memory two sub-quantizers share a byte, in the
    saved files each has one of its own.
    """

    name = "scann"
    BuildParams: ClassVar[type[Params]] = ScannBuild
    SearchParams: ClassVar[type[Params]] = IvfPqSearch

    def build(
        self,
        corpus: Corpus,
        params: ScannBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,  # noqa: ARG002 - learns from the corpus alone
        seed: int = 0,  # noqa: ARG002 - the library takes none
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: codes and centroids do not fit.
            DataError: fewer vectors than lists or codewords.
            UsageError: spilling under l2.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        if params.spill and metric != "ip":
            raise UsageError("spill (SOAR) needs inner product or cosine; leave it out for l2")
        lists = params.lists or max(1, round(math.sqrt(n)))
        check_enough(n, lists, _WORDS)
        allowed = allowed_bytes(budget, n)

        def needed(kept: Kept) -> int:
            return sum(_parts(n * (1 + params.spill), n, d, lists, params.width, kept).values())

        choices = (params.refine,) if params.refine else _KEPT
        kept = next((choice for choice in choices if allowed is None or needed(choice) <= allowed), choices[-1])
        require_bytes(
            f"scann (lists = {lists}, width = {params.width}, {kept}, {d} dimensions)", needed(kept), budget, n
        )
        self.params = params.model_copy(update={"lists": lists, "refine": kept})
        self._shape, self._metric = (n, d), metric
        plan = library.builder(np.ascontiguousarray(vectors), 10, _MEASURE[metric])
        plan = plan.set_n_training_threads(budget.threads or threads())
        plan = plan.tree(
            lists, 1, training_sample_size=_TRAINING_ROWS, random_init=False,  # its random start differs by the run
            soar_lambda=_SPILL if params.spill else None,
        )  # fmt: skip
        plan = plan.score_ah(params.width, anisotropic_quantization_threshold=_threshold(vectors, metric))
        if kept != "none":
            plan = plan.reorder(100, quantize=ReorderType[kept.upper()])
        self._index = plan.build()
        with tempfile.TemporaryDirectory() as folder:
            self._write(Path(folder))
            self._entries = _entries(Path(folder))

    def _nearest(self, vectors: FloatArray, k: int, params: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        nprobe = min(params.nprobe, self.params.lists)
        candidates = min(k * params.refine_factor, self._shape[0])
        workers = threads()
        if workers == 1 or len(vectors) == 1:
            rows, values = self._index.search_batched(vectors, k, candidates, nprobe)
        else:
            with self._setting.at(workers, self._index.set_num_threads):
                rows, values = self._index.search_batched_parallel(vectors, k, candidates, nprobe)
        missing = np.isnan(values)
        scores = values if self._metric == "ip" else -values
        return np.where(missing, -1, rows.astype(np.int64)), np.where(missing, -np.inf, scores)

    def memory(self) -> MemoryReport:
        """See protocols.Index."""
        n, d = self._shape
        used = self.params
        return MemoryReport(parts=_parts(self._entries, n, d, used.lists, used.width, used.refine))

    def _write(self, folder: Path) -> None:
        self._index.serialize(str(folder), relative_path=True)

    def _read(self, folder: Path) -> None:
        assets = checked_assets(folder, *self._shape, self.params, self._metric)
        self._index = library.ScannSearcher(library.scann_pybind.ScannNumpy(str(folder), assets))
        self._entries = _entries(folder)


def _entries(folder: Path) -> int:
    """Places of vectors in lists: one each, and with ``spill`` a second for those that a second list brings nearer."""
    return int((load_array(folder / _LISTS_OF_ROWS, np.int32, None) >= 0).sum())


def _parts(entries: int, n: int, d: int, lists: int, width: int, kept: Kept) -> dict[str, int]:
    """Bytes in memory by part. Lists are scanned 32 vectors together, so on average 16 more are held in each."""
    blocks = -(-d // width)
    parts = {
        "codes": -(-blocks // 2) * (entries + 16 * lists),
        "ids": 8 * entries,
        "centroids": lists * (16 * d + 24),  # as centres and as means of their lists, each twice
        "codebook": _WORDS * (4 * d + 8 * blocks) + 8 * d,
        "vectors": n * d * _WIDTH[kept],
    }
    return {name: held for name, held in parts.items() if held}


def _threshold(vectors: FloatArray, metric: Metric) -> float:
    """Inner products that count, for the anisotropic loss; NaN (a plain loss) for distances."""
    return _THRESHOLD * float(np.linalg.norm(vectors, axis=1).mean()) if metric == "ip" else math.nan
