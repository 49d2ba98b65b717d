"""What the indexes of reduced vectors share: codes and queries as integers, re-ranking, files and bytes."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import faiss
import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.arrays import unfit
from retrieval_bench.checks import check_k
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.hits import make_hits
from retrieval_bench.indexes import _reduced_fit as make
from retrieval_bench.indexes._reduced_plan import Layout
from retrieval_bench.indexes._reduced_store import PROFILE, Stored
from retrieval_bench.kernels.rerank import rerank
from retrieval_bench.kernels.scan import LARGEST_QUERY, ROWS, Int8Array, Int32Array, Lists, packed
from retrieval_bench.projections import Projection
from retrieval_bench.projections.drift import FEWEST_TRAINING, Drift, QueryProfile, check_drift, profile_queries
from retrieval_bench.specs import read_params, write_params
from retrieval_bench.types import FloatArray, Frozen, Hits, IntArray, MemoryReport, Metric, Params, Queries

_LARGEST_BIAS = 1 << 30  # of a score, so that it stays within 32 bits
_FEWEST_EACH = 16  # queries worth a thread: two blocks of the kernel


def _biases(stored: Stored) -> list[FloatArray | None]:
    return [stored.bias] if stored.centroids is None else [stored.bias, stored.centroid_bias]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Queries as the kernels take them.

    Attributes:
        codes: (m, padded d) int8.
        scales: (m,) float32; ``scales * step`` turns an integer product into a product of vectors.
        weights: (m,) float32 of the rows' biases, or None.
    """

    codes: Int8Array
    scales: FloatArray
    weights: FloatArray | None


class ReducedIndex:
    """Base of the backends that scan reduced 7-bit codes and re-rank the best.

    A backend gives ``build``, which ends in ``_store``, and ``_candidates``.

    Attributes:
        params: the build parameters as used.
    """

    name: ClassVar[str]
    BuildParams: ClassVar[type[Params]]
    SearchParams: ClassVar[type[Params]]
    metrics: ClassVar[frozenset[str]] = frozenset({"ip", "l2"})
    params: Any

    def __init__(self) -> None:
        self._n = 0
        self._metric: Metric = "ip"
        self._step = np.float32(1)  # of the codes
        self._stored: Stored
        self._lists: Lists

    def _store(
        self,
        vectors: FloatArray,
        projection: Projection,
        reduced: FloatArray,
        layout: Layout,
        learn: FloatArray | None,
        *,
        starts: IntArray,
        rows: IntArray,
        row_of_slot: Int32Array,
        centres: FloatArray | None = None,
        seed: int,
    ) -> None:
        """Encode and take over.

        Args:
            vectors: (n, D).
            projection: as fitted.
            reduced: (n, d) documents.
            layout: what is kept.
            learn: training queries, or None.
            starts: first groups of the lists.
            rows: their sizes.
            row_of_slot: (slots,) int32 row that stands in each slot, -1 for none.
            centres: (lists, d) of the lists, where there are any.
            seed: of the choice of training queries that are held out for their profile.
        """
        self._n = len(vectors)
        self._step = make.step_of(reduced)
        bias = centroids = centroid_bias = None
        used = row_of_slot >= 0
        if self._metric == "l2":
            bias = np.zeros(len(row_of_slot), np.float32)
            bias[used] = -make.half_squares(vectors, projection.mean)[row_of_slot[used]] / self._step
        if centres is not None:
            seats = np.full(-(-len(centres) // ROWS) * ROWS, -1, np.int32)
            seats[: len(centres)] = np.arange(len(centres))
            centroids = packed(make.encode(centres, self._step, seats))
            if self._metric == "l2":
                centroid_bias = np.zeros(len(seats), np.float32)
                centroid_bias[: len(centres)] = -make.half_squares(centres, np.zeros_like(centres[0])) / self._step
        profile: dict[str, Any] = {}
        if learn is not None and len(learn) >= FEWEST_TRAINING:
            made = profile_queries(vectors, learn, seed=seed)
            profile = {PROFILE + f.name: getattr(made, f.name) for f in fields(made)}
        self._take(
            Stored(
                matrix=projection.query,
                mean=projection.mean,
                codes=packed(make.encode(reduced, self._step, row_of_slot)),
                starts=starts,
                rows=rows,
                bias=bias,
                ids=None if centres is None else row_of_slot,
                centroids=centroids,
                centroid_bias=centroid_bias,
                **profile,
                **make.kept(vectors, projection.mean, layout.secondary, row_of_slot),
            )
        )

    def _take(self, stored: Stored) -> None:
        """Make ready for searching; a ValueError where the arrays do not fit together."""
        if int(stored.rows.sum()) != self._n or stored.matrix.shape[1] > 4 * stored.codes.shape[1]:
            raise ValueError("the lists do not hold as many documents, or not of as many dimensions, as there are")
        if any((b is None) != (self._metric == "ip") for b in _biases(stored)):
            raise ValueError("there are biases without a distance, or a distance without biases")
        self._stored = stored
        self._lists = Lists(codes=stored.codes, starts=stored.starts, rows=stored.rows, bias=stored.bias)
        # For queries alone: documents were reduced when the index was built, and their matrix is not kept.
        self._projection = Projection(query=stored.matrix, database=stored.matrix, mean=stored.mean)

    @property
    def _reranks(self) -> bool:
        return self._stored.coded is not None or self._stored.originals is not None

    @abstractmethod
    def _candidates(self, asked: Asked, depth: int, params: Any) -> tuple[Int32Array, Int32Array]:
        """(m, depth) slots and integer scores of the best, -1 padded; best first unless they are re-ranked."""

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        """See protocols.Index.

        Raises:
            DataError: the queries have another dimension than the index.
            UsageError: k or a search parameter is out of the index's range.
        """
        vectors = np.ascontiguousarray(queries.require_vectors())
        check_k(k, self._n)
        d = len(self._stored.mean)
        if vectors.shape[1] != d:
            raise DataError(f"the queries have {vectors.shape[1]} dimensions, the index {d}")
        if self._reranks and params.rerank < k:
            raise UsageError(f"rerank = {params.rerank} candidates cannot give k = {k} hits; use rerank >= k")
        threads = faiss.omp_get_max_threads()  # what the runner, or threadpoolctl, set
        if threads == 1 or len(vectors) < threads * _FEWEST_EACH:
            return self._answer(vectors, k, params)
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(lambda part: self._answer(part, k, params), np.array_split(vectors, threads)))
        return Hits(rows=np.concatenate([p.rows for p in parts]), scores=np.concatenate([p.scores for p in parts]))

    def _answer(self, vectors: FloatArray, k: int, params: Any) -> Hits:
        asked = self._asked(self._projection.queries(vectors, metric=self._metric))
        depth = min(params.rerank, self._n) if self._reranks else k
        slots, scores = self._candidates(asked, depth, params)
        if self._reranks:
            return self._reranked(vectors, slots, k, min(params.exact or 2 * k, depth))
        return self._decoded(vectors, asked, slots, scores)

    def _asked(self, reduced: FloatArray) -> Asked:
        scales = np.abs(reduced).max(axis=1) / np.float32(LARGEST_QUERY)
        scales = np.maximum(scales, np.finfo(np.float32).tiny)
        if self._lists.bias is not None:
            largest = max(
                float(np.abs(b).max()) for b in (self._lists.bias, self._stored.centroid_bias) if b is not None
            )
            scales = np.maximum(scales, np.float32(largest / _LARGEST_BIAS))
        codes = np.zeros((len(reduced), self._lists.dim), np.int8)
        codes[:, : reduced.shape[1]] = np.rint(reduced / scales[:, None])
        return Asked(codes=codes, scales=scales, weights=None if self._lists.bias is None else 1 / scales)

    def _reranked(self, vectors: FloatArray, slots: Int32Array, k: int, exact: int) -> Hits:
        """Hits by the vectors that are kept; by the codes first, where there are codes and originals.

        Raises:
            UsageError: fewer are to be scored exactly than hits are asked for.
        """
        stored = self._stored
        if stored.coded is not None:
            asking = vectors - stored.mean if self._metric == "l2" else vectors
            if stored.originals is None:
                rows, scores = rerank(
                    stored.coded, asking, slots, k, metric=self._metric, ids=stored.ids, grid=stored.grid
                )
                return make_hits(rows, scores if self._metric == "l2" else scores + (vectors @ stored.mean)[:, None])
            if exact < k:
                raise UsageError(f"exact = {exact} candidates cannot give k = {k} hits; use exact >= k")
            better, _ = rerank(stored.coded, asking, slots, exact, metric=self._metric, grid=stored.grid)
            slots = better.astype(np.int32)
        originals = cast("npt.NDArray[np.generic]", stored.originals)  # there, as there would be no re-ranking else
        rows, scores = rerank(originals, vectors, slots, k, metric=self._metric, ids=stored.ids)
        return make_hits(rows, scores)

    def _decoded(self, vectors: FloatArray, asked: Asked, slots: Int32Array, scores: Int32Array) -> Hits:
        """Hits by the codes alone: the integer scores, turned back into products or distances."""
        stored = self._stored
        zero = make.MIDDLE * asked.codes.sum(axis=1, dtype=np.int64)
        products = (scores - zero[:, None]) * (asked.scales * self._step)[:, None]
        if self._metric == "l2":
            values = 2 * products - np.square(vectors - stored.mean).sum(axis=1)[:, None]
        else:
            values = products + (vectors @ stored.mean)[:, None]
        rows = np.where(slots < 0, -1, slots if stored.ids is None else stored.ids[slots])
        return make_hits(rows, values)

    def drift(self, queries: Queries, *, level: float = 0.01) -> Drift:
        """Whether these queries differ from those that the index was built with.

        Raises:
            DataError: the index was built with fewer than 40 training queries, or fewer than 20 are shown.
        """
        stored = self._stored.arrays()
        parts = {name.removeprefix(PROFILE): array for name, array in stored.items() if name.startswith(PROFILE)}
        if not parts:
            raise DataError(
                f"{self.name}: was built with fewer than {FEWEST_TRAINING} training queries: "
                "there is nothing to compare with"
            )
        return check_drift(QueryProfile(**parts), queries.require_vectors(), level=level)

    def memory(self) -> MemoryReport:
        """See protocols.Index."""
        return MemoryReport(parts=self._stored.bytes_by_part())

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file for each array, ``params.json`` and ``index.json``."""
        self._stored.save(folder)
        write_params(folder / "params.json", self.params)
        write_params(folder / "index.json", _Facts(metric=self._metric, n=self._n, step=float(self._step)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote.

        Raises:
            ArtifactError: a file is missing, cut short or not what it should be.
        """
        loaded = cls()
        loaded.params = read_params(folder / "params.json", cls.BuildParams)
        facts = read_params(folder / "index.json", _Facts)
        loaded._metric, loaded._n, loaded._step = facts.metric, facts.n, np.float32(facts.step)
        stored = Stored.load(folder, facts.n)
        try:
            loaded._take(stored)
        except ValueError as error:
            raise unfit(folder, str(error)) from error
        return loaded


class _Facts(Frozen):
    """What an index is of, beside its arrays."""

    metric: Metric
    n: int = Field(ge=1, lt=1 << 31)
    step: float = Field(gt=0, lt=1e30)  # of the codes
