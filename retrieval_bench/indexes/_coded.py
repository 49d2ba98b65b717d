"""Exhaustive search over codes, in one list or in many: a block is decoded once for all queries that look into it."""

from __future__ import annotations

import json
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.checks import check_k
from retrieval_bench.codecs import Arrays, Codec, nbytes, read_traffic, registered
from retrieval_bench.errors import ArtifactError, DataError, RetrievalBenchError
from retrieval_bench.files import atomic_file
from retrieval_bench.hits import make_hits
from retrieval_bench.indexes._nearest import Nearest
from retrieval_bench.types import Budget, FloatArray, Hits, IntArray, MemoryReport, Params, Queries

_BLOCK_VALUES = 1 << 22  # scores or decoded values held together
_LEAST_BLOCK, _MOST_BLOCK = 256, 8192


class CodedBuild(Params):
    """How vectors are compressed."""

    codec: str = Field("int8", description="name of a codec: of a file in retrieval_bench/codecs")
    bytes: float | None = Field(
        None, gt=0, description="index bytes per vector in all; None: the budget's, or those of the originals"
    )
    traffic: Path | None = Field(
        None, description="file with one count per vector, for codecs that favour what is asked for most"
    )


class CodedSearch(Params):
    """How much is looked at twice."""

    refine: int = Field(
        8, ge=1, le=1024, description="candidates decoded in full for each hit, where the codec has two levels"
    )


class CodedIndex:
    """Base of the flat and the inverted-file index over codes.

    Vectors are coded as differences from the centroid of their list, so that
    ``<q, x> = <q, c> + <q, x - c>`` and ``|q - x|^2 = |q - c|^2 - 2 <q - c, x - c> + |x - c|^2``.

    Attributes:
        params: the build parameters as used.
    """

    name: ClassVar[str]
    BuildParams: ClassVar[type[Params]]
    SearchParams: ClassVar[type[Params]]
    metrics: ClassVar[frozenset[str]] = frozenset({"ip", "l2"})
    params: Any

    _codec: Codec
    _codes: Arrays
    _lists: Arrays  # centroids (lists, d) float32, starts (lists + 1,) int64; ids (n,) int32 where rows were moved
    _metric: str

    def _code(
        self, vectors: FloatArray, lists: Arrays, params: Any, budget: Budget, *, metric: str, seed: int
    ) -> float:
        """Learn the codec on what the lists leave of the bytes, and code all vectors in the order of the lists.

        Returns:
            The bytes per vector that were to be had.

        Raises:
            BudgetError: nothing fits.
        """
        n, d = vectors.shape
        allowed = allowed_bytes(budget, n)
        full = 4.0 * d + nbytes(lists) / n
        room = float(params.bytes or (full if allowed is None else allowed / n))
        traffic = None if params.traffic is None else read_traffic(params.traffic, n)
        if "ids" in lists:
            vectors = vectors[lists["ids"]]
            traffic = None if traffic is None else traffic[lists["ids"]]
        residuals = np.array(vectors, np.float32)
        starts = lists["starts"]
        for number, centroid in enumerate(lists["centroids"]):
            residuals[starts[number] : starts[number + 1]] -= centroid
        codec = registered.get(params.codec)()
        codec.fit(residuals, room - nbytes(lists) / n, seed=seed, traffic=traffic)
        self._codec, self._codes, self._lists, self._metric = codec, codec.encode(residuals), lists, metric
        require_bytes(f"{self.name} (codec = {params.codec}, bytes = {room:g})", self.memory().total, budget, n)
        return room

    @abstractmethod
    def _probed(self, queries: FloatArray, params: Any) -> IntArray | None:
        """(m, p) lists to look into for each query; None is all of them."""

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        """See protocols.Index.

        Raises:
            DataError: the queries have another dimension than the index.
            UsageError: k or a search parameter is out of the index's range.
        """
        asked = queries.require_vectors()
        centroids, starts = self._lists["centroids"], self._lists["starts"]
        n, d = int(starts[-1]), centroids.shape[1]
        check_k(k, n)
        if asked.shape[1] != d:
            raise DataError(f"the queries have {asked.shape[1]} dimensions, the index {d}")
        scorer = _Scorer(self._codec, centroids, asked, self._metric)
        probed = self._probed(asked, params)
        twice = self._codec.two_level
        best = Nearest(len(asked), min(n, k * params.refine) if twice else k)
        decode = self._codec.coarse if twice else self._codec.decode
        block = int(np.clip(_BLOCK_VALUES // max(len(asked), d), _LEAST_BLOCK, _MOST_BLOCK))
        for number in range(len(centroids)) if probed is None else np.unique(probed):
            who = slice(None) if probed is None else np.flatnonzero((probed == number).any(axis=1))
            for first in range(int(starts[number]), int(starts[number + 1]), block):
                rows = slice(first, min(first + block, int(starts[number + 1])))
                best.add(who, scorer.scores(who, number, decode(self._codes, rows)), first)
        if twice:
            best = self._refined(best, scorer, k)
        found = best.rows
        if "ids" in self._lists:
            found = np.where(found < 0, -1, self._lists["ids"][found])
        return make_hits(found, best.scores)

    def _refined(self, found: Nearest, scorer: _Scorer, k: int) -> Nearest:
        """The k best candidates by their whole codes."""
        best = Nearest(len(found.rows), k)
        for query, rows in enumerate(found.rows):
            candidates = np.sort(rows[rows >= 0])
            decoded = self._codec.decode(self._codes, candidates)
            number = np.searchsorted(self._lists["starts"], candidates, side="right") - 1
            scores = np.empty(len(candidates), np.float32)
            for each in np.unique(number):
                same = number == each
                scores[same] = scorer.scores(slice(query, query + 1), int(each), decoded[same])[0]
            best.put(query, candidates, scores)
        return best

    def memory(self) -> MemoryReport:
        """See protocols.Index."""
        parts = {"codes": nbytes(self._codes), "tables": nbytes(self._codec.tables)}
        return MemoryReport(parts=parts | {name: array.nbytes for name, array in self._lists.items()})

    def save(self, folder: Path) -> None:
        """Write ``arrays.npz`` and ``index.json``."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for kind, group in (("codes", self._codes), ("tables", self._codec.tables), ("lists", self._lists)):
            arrays |= {f"{kind}.{name}": array for name, array in group.items()}
        with atomic_file(folder / "arrays.npz") as path:
            np.savez(path, **arrays)  # type: ignore[arg-type]  # its second argument is a flag in the stubs only
        facts = {"params": self.params.model_dump(mode="json"), "facts": self._codec.facts, "metric": self._metric}
        with atomic_file(folder / "index.json") as path:
            path.write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote.

        Raises:
            ArtifactError: a file is missing, cut short or not what it should be.
        """
        loaded = cls()
        groups: dict[str, Arrays] = {"codes": {}, "tables": {}, "lists": {}}
        try:
            facts = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            loaded.params = cls.BuildParams.model_validate(facts["params"])
            with (folder / "arrays.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                for key in arrays.files:
                    kind, _, name = key.partition(".")
                    groups[kind][name] = arrays[key]
            loaded._codec = registered.get(loaded.params.codec)(
                groups["tables"], {str(name): int(value) for name, value in facts["facts"].items()}
            )
            loaded._codes, loaded._lists, loaded._metric = groups["codes"], groups["lists"], str(facts["metric"])
            loaded._lists["centroids"], loaded._lists["starts"]
        except RetrievalBenchError:
            raise
        except Exception as error:
            raise ArtifactError(f"{folder}: cannot be read: {error}; build the index again") from error
        return loaded


class _Scorer:
    """Scores of decoded vectors of a list, for the queries of one search."""

    def __init__(self, codec: Codec, centroids: FloatArray, asked: FloatArray, metric: str) -> None:
        self._codec, self._asked, self._metric = codec, asked, metric
        self._reduced = codec.queries(asked)
        self._centroids = centroids

    def scores(self, who: slice | IntArray, number: int, decoded: FloatArray) -> FloatArray:
        """(len(who), len(decoded)): inner products, or minus squared distances."""
        asked, centroid = self._asked[who], self._centroids[number]
        if self._metric == "ip":
            products: FloatArray = self._reduced[who] @ decoded.T
            products += (asked @ centroid)[:, None]
            return products
        away = asked - centroid
        shifted: FloatArray = np.subtract(self._reduced[who], self._codec.queries(centroid[None]))
        scores: FloatArray = np.matmul(shifted, decoded.T)
        np.multiply(scores, 2, out=scores)
        lengths: FloatArray = np.einsum("nr,nr->n", decoded, decoded)
        distances: FloatArray = np.einsum("md,md->m", away, away)
        np.subtract(scores, lengths, out=scores)
        np.subtract(scores, distances[:, None], out=scores)
        return scores
