"""What the indexes of reduced vectors share: codes and queries as integers, re-ranking, files and bytes."""

from __future__ import annotations

from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.arrays import unfit
from retrieval_bench.checks import check_k
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.hits import make_hits
from retrieval_bench.indexes import _reduced_fit as make
from retrieval_bench.indexes._cells import Cells
from retrieval_bench.indexes._reduced_ask import Asked, ask
from retrieval_bench.indexes._reduced_place import Places
from retrieval_bench.indexes._reduced_plan import Layout, ReducedBuild, Traits, choose
from retrieval_bench.indexes._reduced_store import PROFILE, Stored
from retrieval_bench.kernels.rerank import rerank
from retrieval_bench.kernels.scan import Asking, Int32Array, Lists
from retrieval_bench.projections import Projection
from retrieval_bench.projections.drift import FEWEST_TRAINING, Drift, QueryProfile, check_drift, profile_queries
from retrieval_bench.specs import read_params, write_params
from retrieval_bench.threads import threads
from retrieval_bench.types import Budget, FloatArray, Frozen, Hits, IntArray, MemoryReport, Metric, Params, Queries

_FEWEST_EACH = 16  # queries worth a thread: two blocks of the kernel
_LARGEST_HALF = float(np.finfo(np.float16).max)
_MOST_VALUES = 1 << 22  # of queries in all their forms, at a time


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
        self._layout: Layout
        self._step = np.float32(1)  # of the codes, where there is one for all rows
        self._stored: Stored
        self._lists: Lists

    def _chosen(
        self, vectors: FloatArray, cells: Cells, params: ReducedBuild, budget: Budget, metric: Metric, lists: int = 0
    ) -> Layout:
        """The layout for these data and this budget.

        Raises:
            BudgetError, UsageError: see ``choose``.
        """
        traits = Traits(
            metric=metric,
            cells=len(cells),
            scaled=len(cells) > 1 or cells.uneven,
            biased=metric == "l2" or len(cells) > 1 or cells.away,
        )
        n, d = vectors.shape
        layout = choose(self.name, params, budget, n, d, traits, lists)
        if layout.secondary == "fp16" and params.secondary is None and float(cells.lengths.max()) > _LARGEST_HALF:
            # Too long for fp16, perhaps a single row: bytes that need no range.
            params = params.model_copy(update={"secondary": "lvq8"})
            return choose(self.name, params, budget, n, d, traits, lists)
        return layout

    def _store(
        self,
        vectors: FloatArray,
        cells: Cells,
        projection: Projection,
        reduced: FloatArray,
        layout: Layout,
        places: Places,
        learn: FloatArray | None,
        *,
        seed: int,
    ) -> None:
        """Encode and take over.

        Args:
            vectors: (n, D).
            cells: from whose centres the vectors are taken.
            projection: as fitted.
            reduced: (n, d) documents.
            layout: what is kept.
            places: of the rows.
            learn: training queries, or None.
            seed: of the choice of training queries that are held out for their profile.
        """
        self._n, self._layout = len(vectors), layout
        step = None if layout.scaled else make.step_of(reduced)
        self._step = np.float32(1) if step is None else step
        codes, scale = make.encoded(reduced, step, places.row_of_slot)
        own = make.bias(vectors, cells, layout) if layout.biased else None
        parts: dict[str, Any] = {"codes": codes, "scale": scale, "starts": places.starts, "rows": places.rows}
        parts |= {"bias": None if own is None else make.in_slots(own, places.row_of_slot), "cells": places.cells}
        parts["ids"] = places.row_of_slot if layout.lists or layout.cells > 1 else None
        if layout.lists:
            parts |= make.centroids(reduced, own, step, layout, places)
        if learn is not None and len(learn) >= FEWEST_TRAINING:
            made = profile_queries(vectors, learn, seed=seed)
            parts |= {PROFILE + f.name: getattr(made, f.name) for f in fields(made)}
        self._take(
            Stored(
                matrix=projection.query,
                centres=cells.centres,
                reduced_centres=cells.centres @ projection.query,
                **parts,
                **make.kept(vectors, cells, layout.secondary, places),
            )
        )

    def _take(self, stored: Stored) -> None:
        """Make ready for searching; a ValueError where the arrays do not fit together."""
        stored.check(self._layout, self._n)
        self._stored = stored
        self._lists = Lists(
            codes=stored.codes, starts=stored.starts, rows=stored.rows, scale=stored.scale, bias=stored.bias,
            cells=stored.cells, cell_count=len(stored.centres),
        )  # fmt: skip

    @property
    def _reranks(self) -> bool:
        return self._stored.coded is not None or self._stored.originals is not None

    @abstractmethod
    def _candidates(self, asked: Asking, depth: int, params: Any) -> tuple[Int32Array, FloatArray]:
        """(m, depth) slots and scores of the best, -1 padded; best first unless they are re-ranked."""

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        """See protocols.Index.

        Raises:
            DataError: the queries have another dimension than the index.
            UsageError: k or a search parameter is out of the index's range.
        """
        vectors = np.ascontiguousarray(queries.require_vectors())
        check_k(k, self._n)
        cells, d = self._stored.centres.shape
        if vectors.shape[1] != d:
            raise DataError(f"the queries have {vectors.shape[1]} dimensions, the index {d}")
        if self._reranks and params.rerank < k:
            raise UsageError(f"rerank = {params.rerank} candidates cannot give k = {k} hits; use rerank >= k")
        workers = threads()
        parts = 1 if len(vectors) < workers * _FEWEST_EACH else workers
        parts = max(parts, -(-vectors.size * cells // _MOST_VALUES) if cells > 1 else 1)
        if parts == 1:
            return self._answer(vectors, k, params)
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(lambda part: self._answer(part, k, params), np.array_split(vectors, parts)))
        return Hits(rows=np.concatenate([p.rows for p in found]), scores=np.concatenate([p.scores for p in found]))

    def _answer(self, vectors: FloatArray, k: int, params: Any) -> Hits:
        asked = ask(vectors, self._stored, self._layout, self._step, ranks_only=self._reranks)
        depth = min(params.rerank, self._n) if self._reranks else k
        slots, scores = self._candidates(asked.forms, depth, params)
        if self._reranks:
            return self._reranked(vectors, slots, k, min(params.exact or self._exact(k, depth), depth))
        return self._decoded(asked, slots, scores)

    def _exact(self, k: int, depth: int) -> int:
        """Candidates to be scored by the originals where nothing is asked for: all where codes had to be made finer."""
        return depth if self._layout.cells > 1 or (self._layout.biased and self._layout.metric == "ip") else 2 * k

    def _reranked(self, vectors: FloatArray, slots: Int32Array, k: int, exact: int) -> Hits:
        """Hits by the vectors that are kept; by the codes first, where there are codes and originals.

        Raises:
            UsageError: fewer are to be scored exactly than hits are asked for.
        """
        stored = self._stored
        metric = self._layout.metric
        # One centre is taken from the queries, or its products added, which costs less than to add it to every row.
        one, asking = len(stored.centres) == 1, vectors
        if one and metric == "l2":
            asking = vectors - stored.centres
        beside: dict[str, Any] = {} if one else {"centres": stored.centres, "cells": stored.cells}
        if stored.coded is not None:
            codes: dict[str, Any] = {"vectors": stored.coded, "grid": stored.grid, "metric": metric, **beside}
            if stored.originals is None:
                return self._moved(vectors, *rerank(queries=asking, slots=slots, k=k, ids=stored.ids, **codes))
            if exact < k:
                raise UsageError(f"exact = {exact} candidates cannot give k = {k} hits; use exact >= k")
            better, _ = rerank(queries=asking, slots=slots, k=exact, **codes)
            slots = better.astype(np.int32)
        originals = cast("npt.NDArray[np.generic]", stored.originals)  # there, as there would be no re-ranking else
        if originals.dtype == np.float32:
            return make_hits(*rerank(originals, vectors, slots, k, metric=metric, ids=stored.ids))
        return self._moved(vectors, *rerank(originals, asking, slots, k, metric=metric, ids=stored.ids, **beside))

    def _moved(self, vectors: FloatArray, rows: IntArray, scores: FloatArray) -> Hits:
        """Hits of rows from which the one centre was taken: a product with it is the same for all of them."""
        if len(self._stored.centres) == 1 and self._layout.metric == "ip":
            scores = scores + vectors @ self._stored.centres.T
        return make_hits(rows, scores)

    def _decoded(self, asked: Asked, slots: Int32Array, scores: FloatArray) -> Hits:
        """Hits by the codes alone: their scores, turned back into products or distances."""
        values = scores.astype(np.float64) * asked.unit[:, None] + asked.constant[:, None]
        if self._layout.metric == "l2":
            values *= 2
        ids = self._stored.ids
        return make_hits(np.where(slots < 0, -1, slots if ids is None else ids[slots]), values)

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
        write_params(folder / "index.json", _Facts(layout=self._layout, n=self._n, step=float(self._step)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote.

        Raises:
            ArtifactError: a file is missing, cut short or not what it should be.
        """
        loaded = cls()
        loaded.params = read_params(folder / "params.json", cls.BuildParams)
        facts = read_params(folder / "index.json", _Facts)
        loaded._layout, loaded._n, loaded._step = facts.layout, facts.n, np.float32(facts.step)
        stored = Stored.load(folder, facts.n)
        try:
            loaded._take(stored)
        except ValueError as error:
            raise unfit(folder, str(error)) from error
        return loaded


class _Facts(Frozen):
    """What an index is of, beside its arrays."""

    layout: Layout
    n: int = Field(ge=1, lt=1 << 31)
    step: float = Field(gt=0, lt=1e30)  # of the codes
