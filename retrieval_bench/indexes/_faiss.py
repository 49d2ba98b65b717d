"""What the faiss backends share: search, files, and training that a seed decides."""

from __future__ import annotations

import re
from abc import abstractmethod
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, Self

import faiss
import numpy as np

from retrieval_bench.arrays import unfit
from retrieval_bench.checks import check_k
from retrieval_bench.errors import DataError
from retrieval_bench.files import atomic_file
from retrieval_bench.hits import make_hits
from retrieval_bench.indexes import _faiss_gpu as gpu
from retrieval_bench.indexes._faiss_file import check_file
from retrieval_bench.indexes._faiss_memory import bytes_by_part
from retrieval_bench.specs import read_params, write_params
from retrieval_bench.types import FloatArray, Hits, IntArray, MemoryReport, Params, Queries

METRICS = {"ip": faiss.METRIC_INNER_PRODUCT, "l2": faiss.METRIC_L2}
_TRAINING_ROWS = 65_536  # k-means gains little from more than this, or 64 for each centroid


class FaissIndex:
    """Base of the backends whose index is one faiss index.

    A backend gives ``build``, which ends in ``_fill``, and ``_search_parameters``.

    Attributes:
        forms: pattern of the forms of its faiss index (see ``_faiss_file.Found``): no other is read.
        params: the build parameters as used.
        device: ``cuda`` when the index is searched on a GPU, else ``cpu``.
    """

    name: ClassVar[str]
    BuildParams: ClassVar[type[Params]]
    SearchParams: ClassVar[type[Params]]
    metrics: ClassVar[frozenset[str]] = frozenset(METRICS)
    forms: ClassVar[str]
    params: Any
    device: str = "cpu"

    def __init__(self) -> None:
        self._index: Any = None
        self._device_lock = Lock()  # a GPU's scratch memory serves one search at a time

    @abstractmethod
    def _search_parameters(self, k: int, params: Any) -> faiss.SearchParameters | None:
        """Translate for one call; raise UsageError for what cannot be searched. The index is never changed."""

    def _fill(self, index: Any, vectors: FloatArray, training: FloatArray | None = None) -> None:
        """Train and add, on the GPU as far as it can, and take the index over."""
        if training is not None:
            with gpu.training(index):
                index.train(training)
        index, self.device = gpu.to_device(index)
        index.add(np.ascontiguousarray(vectors))
        self._index = index

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        """See protocols.Index.

        Raises:
            DataError: the queries have another dimension than the index.
            UsageError: k or a search parameter is out of the index's range.
        """
        vectors = queries.require_vectors()
        check_k(k, self._index.ntotal)
        if vectors.shape[1] != self._index.d:
            raise DataError(f"the queries have {vectors.shape[1]} dimensions, the index {self._index.d}")
        settings = self._search_parameters(k, params)
        if self.device == "cpu":
            values, rows = self._found(vectors, k, params, settings)
        else:
            gpu.check_limits(k, params, self.params)
            with self._device_lock:
                values, rows = self._index.search(vectors, k, params=settings)
        if self._index.metric_type == faiss.METRIC_L2:
            np.negative(values, out=values)
        return make_hits(rows, values)

    def _found(self, vectors: FloatArray, k: int, params: Any, settings: Any) -> tuple[FloatArray, IntArray]:  # noqa: ARG002
        """Distances or products (m, k), and rows (m, k), of a search on the CPU."""
        values, rows = self._index.search(vectors, k, params=settings)
        return values, rows

    def memory(self) -> MemoryReport:
        """See protocols.Index."""
        return MemoryReport(parts=bytes_by_part(gpu.to_host(self._index, self.device)))

    def save(self, folder: Path) -> None:
        """Write ``index.faiss`` and ``params.json``."""
        with atomic_file(folder / "index.faiss") as path:
            faiss.write_index(gpu.to_host(self._index, self.device), str(path))
        write_params(folder / "params.json", self.params)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote.

        Raises:
            ArtifactError: a file is missing, cut short or not what it should be.
        """
        loaded = cls()
        loaded.params = read_params(folder / "params.json", cls.BuildParams)
        index = read_faiss(folder / "index.faiss", cls.forms, lists=getattr(loaded.params, "lists", 0))
        drop_tables(index)
        loaded._index, loaded.device = gpu.to_device(index)
        return loaded


def read_faiss(path: Path, forms: str, n: int | None = None, d: int | None = None, *, lists: int | None = 0) -> Any:
    """The faiss index in a file that was walked first.

    Args:
        path: of the file.
        forms: pattern of what it may be.
        n: vectors that it must have; None for any number.
        d: dimensions, likewise.
        lists: inverted lists that the parameters say it has; None, left to be chosen, is no number that was built.

    Raises:
        ArtifactError: missing, damaged, or another kind of index.
    """
    found, there = check_file(path)
    if not re.fullmatch(forms, found.form):
        raise unfit(path, f"holds an index of the form {found.form}, not {forms}")
    if n not in (None, found.n) or d not in (None, found.d):
        raise unfit(path, f"holds {found.n} vectors of {found.d} dimensions, not {n} of {d}")
    if lists != there:
        raise unfit(path, f"has {there} lists, its parameters say {lists}")
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
    except RuntimeError as error:
        raise unfit(path, f"is damaged ({_reason(error)})") from error


def _reason(error: RuntimeError) -> str:
    """The last line of what faiss says, without the C++ function it was said in."""
    return str(error).strip().splitlines()[-1].rpartition("Error: ")[2]


def drop_tables(index: Any) -> None:
    """Do without the precomputed tables of l2 product quantization.

    They cost ``lists * sub_quantizers * 4 * 2^bits`` bytes that no file shows, often more than the codes, and save
    under a tenth of the time of a fast scan. Without them an index answers the same before and after loading.
    """
    ivf = faiss.try_extract_index_ivf(index.base_index if isinstance(index, faiss.IndexRefine) else index)
    if ivf is None:
        return
    ivf = faiss.downcast_index(ivf)
    if hasattr(ivf, "use_precomputed_table"):
        ivf.precomputed_table.resize(0)
        ivf.use_precomputed_table = -1


def training_rows(vectors: FloatArray, centroids: int, seed: int) -> FloatArray:
    """A sample of the rows to train on, as a new array; which rows depends on the seed only.

    Args:
        vectors: (n, d).
        centroids: number of cluster centres to be trained.
        seed: of the choice.
    """
    wanted = max(_TRAINING_ROWS, 64 * centroids)
    if len(vectors) <= wanted:
        return np.ascontiguousarray(vectors)
    rows = np.random.default_rng(seed).choice(len(vectors), wanted, replace=False)
    return np.ascontiguousarray(vectors[np.sort(rows)])


def seed_clustering(parameters: Any, seed: int) -> None:
    """Make a faiss clustering depend on the seed, and use every training row it is given without a warning."""
    parameters.seed = seed % (1 << 31)
    parameters.min_points_per_centroid = 1
    parameters.max_points_per_centroid = 1 << 30


def filled(params: Params, **values: Any) -> Any:
    """A copy of the parameters with automatic values filled in, validated."""
    return type(params).model_validate(params.model_dump() | values)


def check_enough(n: int, lists: int, codewords: int = 0) -> None:
    """Refuse a data set that is too small to train on.

    Raises:
        DataError: fewer vectors than centroids.
    """
    if n < max(lists, codewords):
        what = f"lists = {lists}" if lists >= codewords else f"sub-quantizers of {codewords} codewords"
        raise DataError(f"{n} vectors are too few to train {what}; use fewer, or the flat index")
