"""AdANNS-IVF: lists clustered on one prefix of nested vectors, scanned on another, re-ranked on a third."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field

from retrieval_bench.arrays import unfit
from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.errors import UsageError
from retrieval_bench.indexes._adanns import AdannsIndex, AdannsSearch
from retrieval_bench.indexes._adanns_calibration import CALIBRATION_BYTES, Cost
from retrieval_bench.indexes._adanns_lists import NestedLists, cluster, nearest_lists
from retrieval_bench.indexes._adanns_nesting import MOST_DIMENSIONS, AdannsBuild, nested, nesting_bytes
from retrieval_bench.indexes._adanns_rank import pair_scores, prefixes
from retrieval_bench.indexes._faiss import check_enough, filled
from retrieval_bench.indexes.ivf import MOST_LISTS, PROBED, automatic_lists
from retrieval_bench.registry import indexes
from retrieval_bench.types import Budget, Corpus, FloatArray, IntArray, MemoryReport, Metric, Params, Queries

_LEAST_DIMENSIONS = 8  # fewer are not kept to fit a budget, unless asked for
_LEAST_SCANNED = 16  # by default: a quarter of few dimensions orders hits too poorly to re-rank four times k of them


class AdannsIvfBuild(AdannsBuild):
    """How vectors are nested and divided. The dimensions of the search are chosen at the search."""

    lists: int | None = Field(None, ge=1, le=MOST_LISTS, description="inverted lists; None: about 2 * sqrt(n)")
    d_c: int | None = Field(
        None, ge=1, le=MOST_DIMENSIONS, description="leading dimensions that are clustered; None: a quarter of them"
    )


class AdannsIvfSearch(AdannsSearch):
    """How much is looked at. What is None has its default, or is chosen by ``bytes_read`` or ``latency_ms``."""

    nprobe: int | None = Field(None, ge=1, le=MOST_LISTS, description=f"{PROBED}; None: 8")
    d_s: int | None = Field(
        None,
        ge=1,
        le=MOST_DIMENSIONS,
        description="leading dimensions that are scanned, all where there are fewer; None: a quarter, 16 at least",
    )


@indexes.register("adanns_ivf")
class AdannsIvf(AdannsIndex):
    """Section 4.1 of AdANNS, with every prefix a view of the one array of nested vectors."""

    name = "adanns_ivf"
    BuildParams: ClassVar[type[Params]] = AdannsIvfBuild
    SearchParams: ClassVar[type[Params]] = AdannsIvfSearch
    _lists: NestedLists

    def build(
        self,
        corpus: Corpus,
        params: AdannsIvfBuild,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """See protocols.Index. A byte budget drops the last of the nested dimensions.

        Raises:
            BudgetError: vectors, ids, centroids and the nesting do not fit.
            DataError: fewer vectors than lists.
            UsageError: d_c or dim is more than there are.
        """
        vectors = corpus.require_vectors()
        n, d = vectors.shape
        lists, kept = _layout(params, n, d, budget)
        check_enough(n, lists)
        d_c = params.d_c or -(-kept // 4)
        self._nesting, documents = nested(params, vectors, kept, metric=metric, queries=queries, seed=seed)
        self._metric, self._documents = metric, n
        centroids, members = cluster(documents[:, :d_c], lists, metric, seed)
        self._lists = NestedLists.of(documents, centroids, members)
        self.params = filled(params, dim=kept, lists=lists, d_c=d_c)
        self._calibrate(corpus, documents, queries, seed)

    def _defaults(self) -> dict[str, int]:
        lists, kept = len(self._lists.centroids), self._nesting.kept
        d_s = max(-(-kept // 4), min(_LEAST_SCANNED, kept))
        return {"nprobe": min(8, lists), "d_s": d_s, "d_r": kept, "refine_factor": 4}

    def _settings(self) -> Iterable[Mapping[str, int]]:
        kept, lists = self._nesting.kept, len(self._lists.centroids)
        for nprobe in (1 << shift for shift in range(lists.bit_length())):
            for d_s in prefixes(kept):
                yield {"nprobe": nprobe, "d_s": d_s, "d_r": d_s, "refine_factor": 1}
                if d_s < kept:
                    for refine_factor in (2, 8):
                        yield {"nprobe": nprobe, "d_s": d_s, "d_r": kept, "refine_factor": refine_factor}

    def setting(self, k: int, params: Any) -> Any:
        """See AdannsIndex.setting. More dimensions than are kept are all of them, unless d_r says where to end."""
        kept = self._nesting.kept
        if params.d_s is not None and params.d_s > kept and (params.d_r or kept) >= kept:
            params = filled(params, d_s=kept)
        return super().setting(k, params)

    def _check(self, params: Any) -> None:
        if params.d_s > params.d_r:
            raise UsageError(
                f"d_s = {params.d_s} is more than d_r = {params.d_r}: re-ranking goes on where scanning ends"
            )

    def _answer(self, asked: FloatArray, k: int, params: Any) -> tuple[IntArray, FloatArray]:
        found, d_s, d_r = self._lists, params.d_s, params.d_r
        probed = nearest_lists(asked[:, : self.params.d_c], found.centroids, params.nprobe, self._metric)
        depth = k if d_r == d_s else min(k * params.refine_factor, self._documents)
        positions, scores = found.scan(asked[:, :d_s], probed, depth, self._metric)
        if d_r > d_s:
            scores = scores + pair_scores(asked[:, d_s:d_r], found.vectors[:, d_s:d_r], positions, self._metric)
        return np.where(positions < 0, -1, found.rows[positions]), scores

    def cost(self, queries: Queries, params: Any) -> Cost:
        """See AdannsIndex.cost."""
        setting = self.setting(1, params)
        asked = self._nesting.queries(queries.require_vectors(), self._metric)[:, : self.params.d_c]
        probed = nearest_lists(asked, self._lists.centroids, setting.nprobe, self._metric)
        scanned = float(np.diff(self._lists.starts)[probed].sum(axis=1).mean())
        return Cost(
            fixed=self._lists.centroids.nbytes + 4 * setting.d_s * scanned,
            per_hit=4 * (setting.d_r - setting.d_s) * setting.refine_factor,
        )

    def memory(self) -> MemoryReport:
        """See protocols.Index: the vectors are there once, nested, in the order of their lists."""
        held = self._lists
        return MemoryReport(
            parts={
                "vectors": held.vectors.nbytes,
                "ids": held.rows.nbytes,
                "centroids": held.centroids.nbytes,
                "lists": held.starts.nbytes,
                **self._shared_parts(),
            }
        )

    def save(self, folder: Path) -> None:
        """Write the arrays, ``index.json``, ``params.json`` and ``calibration.json``."""
        held = self._lists
        self._write(
            folder,
            {"vectors": held.vectors, "rows": held.rows, "starts": held.starts, "centroids": held.centroids},
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote; raises ArtifactError."""
        loaded = cls()
        arrays = loaded._read(
            folder,
            vectors=(np.float32, ("n", "kept")), rows=(np.int32, ("n",)), starts=(np.int64, (None,)),
            centroids=(np.float32, (None, None)),
        )  # fmt: skip
        loaded._lists = NestedLists(**arrays)
        if reason := loaded._lists.fault(loaded.params.lists, loaded.params.d_c):
            raise unfit(folder, reason)
        return loaded


def _layout(params: AdannsIvfBuild, n: int, d: int, budget: Budget) -> tuple[int, int]:
    """Lists, and dimensions kept: all that fit, with centroids in an eighth of the budget at most."""
    most = params.dim or d
    for name, value in (("dim", most), ("d_c", params.d_c or 1)):
        if value > min(most, d):
            raise UsageError(f"adanns_ivf: {name} = {value} is more than the {min(most, d)} dimensions there are")

    def total(lists: int, kept: int) -> int:
        centroids = lists * (4 * (params.d_c or -(-kept // 4)) + 8) + 8
        return n * (4 * kept + 4) + centroids + nesting_bytes(params.nesting, d, kept) + CALIBRATION_BYTES

    allowed = allowed_bytes(budget, n)
    least = params.dim or max(min(_LEAST_DIMENSIONS, d), params.d_c or 1)
    lists = params.lists or automatic_lists(n)
    while params.lists is None and lists > 1 and allowed is not None and lists * (most + 8) > allowed / 8:
        lists //= 2
    while params.lists is None and lists > 1 and allowed is not None and total(lists, least) > allowed:
        lists //= 2
    fitting = (kept for kept in range(most, least, -1) if allowed is None or total(lists, kept) <= allowed)
    kept = next(fitting, least)
    require_bytes(f"adanns_ivf (lists = {lists}, {kept} dimensions kept)", total(lists, kept), budget, n)
    return lists, kept
