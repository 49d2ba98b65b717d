"""What the adaptive Matryoshka backends share: nesting, search settings chosen from a budget, re-ranking, files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.arrays import Shape, Sizes, load_array, save_array, unfit
from retrieval_bench.checks import check_k
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.hits import make_hits
from retrieval_bench.indexes._adanns_calibration import (
    Calibration,
    Cost,
    calibrate,
    calibration_queries,
    exact_scores,
)
from retrieval_bench.indexes._adanns_nesting import MOST_DIMENSIONS, Nesting
from retrieval_bench.indexes._adanns_rank import top
from retrieval_bench.indexes._faiss import filled
from retrieval_bench.specs import read_params, write_params
from retrieval_bench.types import Corpus, FloatArray, Frozen, Hits, IntArray, Metric, Params, Queries

_BLOCK = 256  # queries answered together: bounds the scores held at once


class AdannsSearch(Params):
    """How much is read. What is None has its default, or is chosen by ``bytes_read`` or ``latency_ms``."""

    d_r: int | None = Field(
        None, ge=1, le=MOST_DIMENSIONS, description="leading dimensions that re-rank; None, or more: all that are kept"
    )
    refine_factor: int | None = Field(None, ge=1, le=1024, description="candidates re-ranked for each hit; None: 4")
    bytes_read: int | None = Field(
        None, ge=1, description="bytes a query may read on average; the setting that finds most within is taken"
    )
    latency_ms: float | None = Field(
        None, gt=0, description="likewise, by the median time of one query as it was at the build"
    )


class _Facts(Frozen):
    """What an index is of, beside its arrays."""

    kept: int = Field(ge=1, le=MOST_DIMENSIONS)
    documents: int = Field(ge=1, lt=1 << 31)
    metric: Metric


class AdannsIndex:
    """Base of the backends of AdANNS (Rege et al. 2023, arXiv 2305.19435).

    A backend gives ``build``, which ends in ``_calibrate``, and the methods below that are abstract.

    Attributes:
        params: the build parameters as used.
    """

    name: ClassVar[str]
    BuildParams: ClassVar[type[Params]]
    SearchParams: ClassVar[type[Params]]
    metrics: ClassVar[frozenset[str]] = frozenset({"ip", "l2"})
    params: Any
    _nesting: Nesting
    _metric: Metric
    _documents: int
    _calibration: Calibration

    @abstractmethod
    def _defaults(self) -> dict[str, int]:
        """Search parameters where neither the caller nor a budget sets them."""

    @abstractmethod
    def _settings(self) -> Iterable[Mapping[str, int]]:
        """Search parameters to calibrate."""

    def _check(self, params: Any) -> None:
        """Raise UsageError for what cannot be searched."""

    @abstractmethod
    def _answer(self, asked: FloatArray, k: int, params: Any) -> tuple[IntArray, FloatArray]:
        """Candidates (m, c >= k) for nested queries (m, kept): corpus rows, -1 where padded, and scores."""

    @abstractmethod
    def cost(self, queries: Queries, params: Any) -> Cost:
        """Bytes of vectors, codes and centroids that these queries read on average at this setting."""

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        """See protocols.Index.

        Raises:
            DataError: the queries have another dimension than the index.
            UsageError: k or a search parameter is out of the index's range, or nothing keeps the budget.
        """
        vectors = queries.require_vectors()
        check_k(k, self._documents)
        if vectors.shape[1] != self._nesting.dim:
            raise DataError(f"the queries have {vectors.shape[1]} dimensions, the index {self._nesting.dim}")
        setting = self.setting(k, params)
        asked = self._nesting.queries(vectors, self._metric)
        rows, scores = np.empty((len(asked), k), np.int64), np.empty((len(asked), k), np.float32)
        for start in range(0, len(asked), _BLOCK):
            some = slice(start, start + _BLOCK)
            rows[some], scores[some] = top(*self._answer(asked[some], k, setting), k)
        return make_hits(rows, scores + self._nesting.offsets(vectors, self._metric))

    def setting(self, k: int, params: Any) -> Any:
        """The search parameters as used: everything that is None filled in, and budgets replaced by what they chose.

        Raises:
            UsageError: out of the index's range, a budget beside a fixed value, or nothing keeps the budget.
        """
        values = self._defaults()
        if params.bytes_read is not None or params.latency_ms is not None:
            fixed = [name for name in values if getattr(params, name) is not None]
            if fixed:
                raise UsageError(f"bytes_read and latency_ms choose {', '.join(fixed)}: give one or the other")
            values = self._calibration.choose(k, bytes_read=params.bytes_read, latency_ms=params.latency_ms)
        free = {name: value for name, value in values.items() if getattr(params, name) is None}
        chosen = filled(params, **free, bytes_read=None, latency_ms=None)
        chosen = filled(chosen, d_r=min(chosen.d_r, self._nesting.kept))
        self._check(chosen)
        return chosen

    def _calibrate(self, corpus: Corpus, documents: FloatArray, queries: Queries | None, seed: int) -> None:
        """Measure the settings on training queries, or on documents where there are none (Calibration)."""
        sample, own = calibration_queries(corpus.require_vectors(), queries, seed)
        exact = exact_scores(self._nesting.queries(sample.require_vectors(), self._metric), documents, self._metric)
        self._calibration = calibrate(
            self.search, self.cost, self._settings(), self.SearchParams, queries=sample, own=own, exact=exact
        )

    def _write(self, folder: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        for name, array in {"matrix": self._nesting.matrix, "mean": self._nesting.mean, **arrays}.items():
            save_array(folder / f"{name}.npy", array)
        facts = _Facts(kept=self._nesting.kept, documents=self._documents, metric=self._metric)
        for name, record in (("params", self.params), ("calibration", self._calibration), ("index", facts)):
            write_params(folder / f"{name}.json", record)

    def _read(self, folder: Path, **forms: tuple[Any, Shape]) -> dict[str, npt.NDArray[Any]]:
        """Take over what ``_write`` wrote of the base; returns the other arrays.

        Args:
            folder: where it was written.
            **forms: type and shape of each of the other arrays, of ``n`` documents and ``kept`` dimensions.

        Raises:
            ArtifactError: a file is missing, damaged, or does not fit the others.
        """
        self.params = read_params(folder / "params.json", self.BuildParams)
        facts = read_params(folder / "index.json", _Facts)
        self._documents, self._metric = facts.documents, facts.metric
        sizes: Sizes = {"n": facts.documents, "kept": facts.kept}
        matrix = load_array(folder / "matrix.npy", np.float32, ("d", None), sizes)
        mean = load_array(folder / "mean.npy", np.float32, (None,))
        plain = not len(mean)
        whole = (matrix.shape[1], len(mean)) == ((0, 0) if plain else (facts.kept, len(matrix)))
        if not whole or facts.kept > len(matrix) or self.params.dim != facts.kept:
            raise unfit(folder, "the matrix, the mean and the dimensions kept do not fit together")
        self._nesting = Nesting(matrix=matrix, mean=mean, kept=facts.kept)
        self._calibration = read_params(folder / "calibration.json", Calibration)
        try:
            for row in self._calibration.rows:
                self.SearchParams.model_validate(row.setting)
        except ValueError as error:
            raise unfit(folder / "calibration.json", "holds what is no setting") from error
        return {name: load_array(folder / f"{name}.npy", dtype, shape, sizes) for name, (dtype, shape) in forms.items()}

    def _shared_parts(self) -> dict[str, int]:
        return {"nesting": self._nesting.nbytes, "calibration": self._calibration.nbytes}
