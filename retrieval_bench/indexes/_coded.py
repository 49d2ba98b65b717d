"""Exhaustive search over codes, in one list or in many: a block is decoded once for all queries that look into it."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from retrieval_bench.arrays import Sizes, load_array, save_array, unfit
from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.checks import check_k
from retrieval_bench.codecs import Arrays, Codec, nbytes, read_traffic, registered
from retrieval_bench.errors import DataError
from retrieval_bench.hits import make_hits
from retrieval_bench.indexes._nearest import Nearest
from retrieval_bench.specs import read_params, write_params
from retrieval_bench.types import Budget, FloatArray, Frozen, Hits, IntArray, MemoryReport, Metric, Params, Queries

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
    _metric: Metric

    def _code(
        self, vectors: FloatArray, lists: Arrays, params: Any, budget: Budget, *, metric: Metric, seed: int
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
        """Write ``params.json``, ``index.json``, and the arrays into a folder of each kind."""
        for kind, group in (("codes", self._codes), ("tables", self._codec.tables), ("lists", self._lists)):
            for name, array in group.items():
                save_array(folder / f"{kind}.{name}.npy", array)
        write_params(folder / "params.json", self.params)
        write_params(folder / "index.json", _Facts(facts=self._codec.facts, metric=self._metric))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote.

        Raises:
            ArtifactError: a file is missing, cut short or not what it should be.
        """
        loaded = cls()
        loaded.params = read_params(folder / "params.json", cls.BuildParams)
        facts = read_params(folder / "index.json", _Facts)
        loaded._metric, loaded._lists = facts.metric, _lists(folder)
        loaded._codes, tables = (_group(folder, kind) for kind in ("codes", "tables"))
        loaded._codec = registered.get(loaded.params.codec)(tables, dict(facts.facts))
        try:
            loaded._try_codes()
        except Exception as error:  # whatever the codec makes of arrays that are not its own
            raise unfit(folder, f"its codes cannot be decoded ({error})") from error
        return loaded

    def _try_codes(self) -> None:
        """Decode every code once, as searches will: no list could hold what each codec trusts in its arrays."""
        centroids, n = self._lists["centroids"], int(self._lists["starts"][-1])
        d = centroids.shape[1]
        asked = self._codec.queries(np.zeros((1, d), np.float32))
        if asked.ndim != 2 or asked.shape[1] > 2 * d:
            raise ValueError(f"queries of {asked.shape} for {d} dimensions")
        widest = max([2 * d, *(size for table in self._codec.tables.values() for size in table.shape)])
        if self._codec.facts.get("rank", 1) > widest:  # what is decoded is held before it is seen not to fit
            raise ValueError(f"a rank of {self._codec.facts['rank']} for tables of {widest}")
        for decode in (self._codec.decode, self._codec.coarse)[: 1 + self._codec.two_level]:
            for start in range(0, n, _MOST_BLOCK):
                rows = slice(start, min(start + _MOST_BLOCK, n))
                found = decode(self._codes, rows)
                if found.shape != (rows.stop - start, asked.shape[1]) or found.dtype != np.float32:
                    raise ValueError(f"{found.dtype} {found.shape} for {rows.stop - start} codes")


def _lists(folder: Path) -> Arrays:
    sizes: Sizes = {}
    starts = load_array(folder / "lists.starts.npy", np.int64, (None,), low=0, high=1 << 31)
    centroids = load_array(folder / "lists.centroids.npy", np.float32, (len(starts) - 1, "d"), sizes)
    if len(starts) < 2 or starts[0] != 0 or starts[-1] < 1 or (np.diff(starts) < 0).any():
        raise unfit(folder, "its lists do not follow one another")
    lists = {"centroids": centroids, "starts": starts}
    if (path := folder / "lists.ids.npy").exists():
        n = int(starts[-1])
        lists["ids"] = load_array(path, np.int32, (n,), low=0, high=n)
    return lists


def _group(folder: Path, kind: str) -> Arrays:
    return {path.name.split(".")[1]: load_array(path, None, None) for path in sorted(folder.glob(f"{kind}.*.npy"))}


class _Facts(Frozen):
    """What an index is of, beside its arrays."""

    metric: Metric
    facts: dict[str, Annotated[int, Field(ge=0, lt=1 << 31)]]


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
