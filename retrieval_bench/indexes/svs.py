"""Intel's Scalable Vector Search: a Vamana graph over LVQ or LeanVec codes. Intel CPUs only."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.budgets import require_bytes
from retrieval_bench.errors import UnavailableError
from retrieval_bench.files import folder_bytes
from retrieval_bench.indexes._peer import PeerIndex, enough_candidates
from retrieval_bench.registry import indexes
from retrieval_bench.threads import threads
from retrieval_bench.types import Budget, Corpus, FloatArray, MemoryReport, Metric, Params, Queries

_CPUINFO = Path("/proc/cpuinfo")
_PARTS = ("config", "graph", "data")
_ALPHA = {"l2": 1.2, "ip": 0.95}  # as its authors advise: below 1 for inner products


def check_cpu(cpuinfo: Path = _CPUINFO) -> None:
    """Refuse to import the library where it would end the process.

    Raises:
        UnavailableError: the processor is not made by Intel.
    """
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    if "GenuineIntel" not in text:
        raise UnavailableError("svs runs on Intel CPUs only: its LVQ and LeanVec end the process on others")


check_cpu()
svs = importlib.import_module("svs")


class SvsBuild(Params):
    """How vectors are coded and linked."""

    codes: Literal["float32", "lvq4x4", "lvq4x8", "lvq8", "leanvec"] = Field(
        "lvq4x8", description="LVQ of one or two levels, or LeanVec with LVQ of 8 bits in both of its parts"
    )
    leanvec_dim: int | None = Field(None, ge=1, le=65_536, description="dimensions of LeanVec; None: half of them")
    degree: int = Field(64, ge=4, le=512, description="most links of a vector")
    window: int = Field(128, ge=4, le=4096, description="candidates kept while a vector is linked in")


class SvsSearch(Params):
    """How much is looked at."""

    window: int = Field(64, ge=1, le=65_536, description="candidates kept while searching; at least k")


@indexes.register("svs")
class Svs(PeerIndex):
    """Aguerrebere et al. 2023 (LVQ) and Tepper et al. 2024 (LeanVec, arXiv 2312.16335), with their own library."""

    name = "svs"
    BuildParams: ClassVar[type[Params]] = SvsBuild
    SearchParams: ClassVar[type[Params]] = SvsSearch

    def build(
        self,
        corpus: Corpus,
        params: SvsBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,  # noqa: ARG002 - the library takes none
    ) -> None:
        """See protocols.Index.

        Raises:
            BudgetError: codes and links do not fit.
        """
        vectors = np.ascontiguousarray(corpus.require_vectors())
        n, d = vectors.shape
        dim = params.leanvec_dim or max(1, d // 2)
        each = {"float32": 4 * d, "lvq4x4": d, "lvq4x8": 1.5 * d, "lvq8": d, "leanvec": d + dim}[params.codes]
        require_bytes(f"svs ({params.codes}, degree = {params.degree})", int(n * (each + 4)), budget, n)
        self.params = params.model_copy(update={"leanvec_dim": dim if params.codes == "leanvec" else None})
        self._shape, self._metric = (n, d), metric
        wanted = svs.VamanaBuildParameters(
            alpha=_ALPHA[metric], graph_max_degree=params.degree, window_size=params.window
        )
        with tempfile.TemporaryDirectory() as folder:  # its codes are made from a file
            file = str(Path(folder) / "vectors.fvecs")
            svs.write_vecs(vectors, file)
            loader = svs.VectorDataLoader(file, svs.DataType.float32, dims=d)
            learn = None if queries is None else queries.vectors
            self._index = svs.Vamana.build(
                wanted, _coded(loader, params.codes, dim, vectors, learn), self._distance(),
                num_threads=budget.threads or threads(),
            )  # fmt: skip
        self._stored = 0

    def _distance(self) -> Any:
        return svs.DistanceType.MIP if self._metric == "ip" else svs.DistanceType.L2

    def _nearest(self, vectors: FloatArray, k: int, params: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        enough_candidates("window", params.window, k)

        def change(window: int) -> None:
            self._index.search_window_size = window
            self._index.num_threads = threads()

        with self._setting.at(params.window, change):
            rows, values = self._index.search(vectors, k)
        return rows.astype(np.int64), (values if self._metric == "ip" else -values)

    def memory(self) -> MemoryReport:
        """See protocols.Index: the library does not tell, so it is what it saves."""
        if not self._stored:
            with tempfile.TemporaryDirectory() as folder:
                self._write(Path(folder))
                self._stored = folder_bytes(Path(folder))
        return MemoryReport(parts={"index": self._stored})

    def _write(self, folder: Path) -> None:
        self._index.save(*(str(folder / part) for part in _PARTS))

    def _read(self, folder: Path) -> None:
        self._index = svs.Vamana(
            *(str(folder / part) for part in _PARTS), distance=self._distance(), num_threads=threads()
        )
        self._stored = sum(folder_bytes(folder / part) for part in _PARTS)


def _coded(loader: Any, codes: str, dim: int, vectors: FloatArray, queries: FloatArray | None) -> Any:
    """The loader that compresses while it loads."""
    if codes == "float32":
        return loader
    if codes == "leanvec":
        kind, matrices = svs.LeanVecKind.lvq8, {}
        if queries is not None:  # query-aware projections need a sample of queries
            data, query = svs.compute_leanvec_matrices(vectors, np.ascontiguousarray(queries), dim)
            matrices = {"data_matrix": data, "query_matrix": query}
        return svs.LeanVecLoader(loader, dim, primary_kind=kind, secondary_kind=kind, **matrices)
    primary, _, residual = codes.removeprefix("lvq").partition("x")
    return svs.LVQLoader(loader, primary=int(primary), residual=int(residual or 0))
