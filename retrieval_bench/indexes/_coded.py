"""Exhaustive search over codes, in one list or in many: a block is decoded once for all queries that look into it."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from retrieval_bench.arrays import Sizes, load_array, save_array, unfit
from retrieval_bench.budgets import allowed_bytes, require_bytes
from retrieval_bench.checks import check_k
from retrieval_bench.codecs import Arrays, Codec, Rows, nbytes, read_traffic, registered
from retrieval_bench.errors import DataError
from retrieval_bench.hits import make_hits
from retrieval_bench.indexes._cells import Cells
from retrieval_bench.indexes._nearest import Nearest
from retrieval_bench.specs import read_params, write_params
from retrieval_bench.types import Budget, FloatArray, Frozen, Hits, IntArray, MemoryReport, Metric, Params, Queries

_BLOCK_VALUES = 1 << 22  # scores or decoded values held together
_LEAST_BLOCK, _MOST_BLOCK = 256, 8192
_FINE = 4  # factors of rows are powers of 2^(1/4)


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
    ``<q, x> = <q, c> + t <c, x - c> + <q - t c, x - c>`` and ``|q - x|^2 = |q - c|^2 - 2 <q - c, x - c> + |x - c|^2``.
    t is 0, or where centroids lie far from the origin ``<q, c> / <c, c>``; then ``<c, x - c>`` is kept for each row.
    What is coded is of about length 1 in each dimension; where rows differ much in length, each keeps a factor.

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
    # centroids (lists, d) float32, starts (lists + 1,) int64, unit (1,) float32; ids (n,) int32 where rows were moved,
    # gains (n,) int8 where lengths differ much, and along (n,) float32 where centroids are far from the origin
    _lists: Arrays
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
        of_row = np.repeat(np.arange(len(lists["centroids"]), dtype=np.int32), np.diff(lists["starts"]))
        moved = vectors[lists["ids"]] if "ids" in lists else vectors
        residuals, beside = _residuals(moved, Cells.of(moved, lists["centroids"], of_row), metric)
        lists |= beside
        allowed = allowed_bytes(budget, n)
        full = 4.0 * d + nbytes(lists) / n
        room = float(params.bytes or (full if allowed is None else allowed / n))
        traffic = None if params.traffic is None else read_traffic(params.traffic, n)
        if traffic is not None and "ids" in lists:
            traffic = traffic[lists["ids"]]
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
        scorer = _Scorer(self._codec, self._lists, asked, self._metric)
        probed = self._probed(asked, params)
        twice = self._codec.two_level
        best = Nearest(len(asked), min(n, k * params.refine) if twice else k)
        decode = self._codec.coarse if twice else self._codec.decode
        block = int(np.clip(_BLOCK_VALUES // max(len(asked), d), _LEAST_BLOCK, _MOST_BLOCK))
        for number in range(len(centroids)) if probed is None else np.unique(probed):
            who = slice(None) if probed is None else np.flatnonzero((probed == number).any(axis=1))
            for first in range(int(starts[number]), int(starts[number + 1]), block):
                rows = slice(first, min(first + block, int(starts[number + 1])))
                best.add(who, scorer.scores(who, number, rows, decode(self._codes, rows)), first)
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
                scores[same] = scorer.scores(slice(query, query + 1), int(each), candidates[same], decoded[same])[0]
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
    lists = {"centroids": centroids, "starts": starts, "unit": load_array(folder / "lists.unit.npy", np.float32, (1,))}
    n = int(starts[-1])
    for name, dtype in (("ids", np.int32), ("gains", np.int8), ("along", np.float32)):
        if (path := folder / f"lists.{name}.npy").exists():
            low, high = (0, n) if name == "ids" else (None, None)
            lists[name] = load_array(path, dtype, (n,), low=low, high=high)
    return lists


def _group(folder: Path, kind: str) -> Arrays:
    return {path.name.split(".")[1]: load_array(path, None, None) for path in sorted(folder.glob(f"{kind}.*.npy"))}


class _Facts(Frozen):
    """What an index is of, beside its arrays."""

    metric: Metric
    facts: dict[str, Annotated[int, Field(ge=0, lt=1 << 31)]]


def _residuals(vectors: FloatArray, cells: Cells, metric: str) -> tuple[FloatArray, Arrays]:
    """Rows without their centres, in units of their typical length, and what ``CodedIndex._lists`` keeps of that."""
    n, d = vectors.shape
    residuals = np.empty((n, d), np.float32)
    for rows, block in cells.blocks(vectors):
        residuals[rows] = block
    lengths = cells.lengths[cells.lengths > 0]
    unit = np.exp2(np.rint(np.log2(np.median(lengths) / np.sqrt(d)))) if len(lengths) else 1.0
    beside: Arrays = {"unit": np.array([unit], np.float32)}
    residuals /= np.float32(unit)
    if cells.uneven:
        shares = np.maximum(cells.lengths / (unit * np.sqrt(d)), np.finfo(np.float32).tiny)
        beside["gains"] = np.where(cells.lengths > 0, np.clip(np.rint(_FINE * np.log2(shares)), -127, 127), 0).astype(
            np.int8
        )
        residuals /= _factors(beside["gains"])[:, None]
    if metric == "ip" and cells.away:
        beside["along"] = cells.along(vectors)
    return residuals, beside


def _factors(gains: npt.NDArray[np.int8]) -> FloatArray:
    return np.exp2(gains / np.float32(_FINE)).astype(np.float32)


class _Scorer:
    """Scores of decoded vectors of a list, for the queries of one search."""

    def __init__(self, codec: Codec, lists: Arrays, asked: FloatArray, metric: str) -> None:
        self._codec, self._asked, self._metric = codec, asked, metric
        self._reduced = codec.queries(asked)
        self._lists = lists
        self._unit = lists["unit"][0]

    def scores(self, who: slice | IntArray, number: int, rows: Rows, decoded: FloatArray) -> FloatArray:
        """(len(who), len(rows)): inner products, or minus squared distances, of decoded rows of a list."""
        asked, reduced, centroid = self._asked[who], self._reduced[who], self._lists["centroids"][number]
        if "gains" in self._lists:
            decoded = decoded * _factors(self._lists["gains"][rows])[:, None]
        if self._metric == "ip":
            whole = asked @ centroid
            if "along" not in self._lists:
                return np.asarray((reduced * self._unit) @ decoded.T + whole[:, None], np.float32)
            share = whole / max(float(centroid @ centroid), float(np.finfo(np.float32).tiny))
            apart = self._codec.queries(asked - share[:, None] * centroid)
            products: FloatArray = (apart * self._unit) @ decoded.T
            products += share[:, None] * self._lists["along"][rows]
            products += whole[:, None]
            return products
        away = asked - centroid
        scores: FloatArray = np.matmul(self._codec.queries(away) * (2 * self._unit), decoded.T)
        lengths: FloatArray = np.einsum("nr,nr->n", decoded, decoded)
        distances: FloatArray = np.einsum("md,md->m", away, away)
        np.subtract(scores, lengths * self._unit**2, out=scores)
        np.subtract(scores, distances[:, None], out=scores)
        return scores
