"""The frame in which an index sees the user's vectors, and the way back from its scores: the only preparation of data.

Float32 arithmetic goes wrong where vectors are far from the origin (squares cancel) or have extreme values (squares
overflow or vanish). Distances do not change when all vectors are shifted, and no order changes when all are multiplied
by one number; so such data is moved and scaled once, where it enters, and every index stays simple. Ordinary data is
left as it is, and costs nothing. Under ``cos`` the frame is rows of length 1, compared by ``ip``; where they all point
nearly the same way they are moved too and compared by ``l2``, for among rows of length 1 the two have one order.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.arrays import load_array, save_array
from retrieval_bench.budgets import allowed_bytes
from retrieval_bench.checks import blocks, normalised
from retrieval_bench.errors import DataError
from retrieval_bench.types import Budget, FloatArray, MemoryReport, Metric

DoubleArray = npt.NDArray[np.float64]
Factor = float | DoubleArray

_FILE = "shift.npy"
_SAMPLE_VALUES = 1 << 21  # values from which the centre is taken
_FAR = {"l2": 4.0, "cos": 16.0}  # distance of the centre from the origin, in typical distances of a row from the centre
_SMALL, _LARGE = 2.0**-10, 2.0**15  # largest value of a typical row, within which nothing is scaled
_WIDEST = 2.0**40  # of the largest row to a typical one: their squares and products still fit float32
_FARTHEST = 2.0**60  # largest value of a query, in the frame
_LEAST_SCORE, _MOST_SCORE = 2.0**-120, float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """How vectors of the user become those of an index, and scores of the index those of the user.

    Attributes:
        asked: the user's metric.
        exponent: rows are multiplied by ``2 ** exponent``, which rounds nothing.
        shift: (d,) float64 that is subtracted from every vector first (under ``cos`` when it has length 1; never under
            ``ip``), or None. Its grid is so coarse that subtracting it from float32 vectors rounds nothing.
    """

    asked: Metric
    exponent: int = 0
    shift: DoubleArray | None = None

    @classmethod
    def of(cls, vectors: npt.NDArray[Any], metric: Metric, *, source: str) -> Frame:
        """The frame of a corpus.

        Args:
            vectors: (n, d) of any real dtype, checked (``check_vectors``); read in blocks.
            metric: how they are compared.
            source: to name in errors.

        Raises:
            DataError: one row is so much longer than the others, or all are so long or short, that float32 cannot hold
                their scores.
        """
        shift = None if metric == "ip" else _centre(vectors, metric)
        if metric == "cos" and shift is None:
            return cls(asked=metric)
        unit = metric == "cos"
        reach = np.concatenate([_reach(_moved(block, shift, unit=unit)) for _, block in blocks(vectors)])
        some = reach[reach > 0]
        if not len(some):
            return cls(asked=metric, shift=shift)
        typical, largest = float(np.median(some)), float(some.max())
        if largest > _WIDEST * typical:
            raise DataError(
                f"{source}: row {int(np.argmax(reach))} has values near {largest:.1g}, a typical row {typical:.1g}: "
                "float32 cannot compare with both; remove or clip that row"
            )
        if metric == "l2":
            d = vectors.shape[1]
            if 4 * d * largest * largest > _MOST_SCORE or d * typical**2 < _LEAST_SCORE:
                raise DataError(
                    f"{source}: squared distances of values near {largest:.1g} do not fit float32 scores; "
                    f"{'divide' if largest > 1 else 'multiply'} all vectors by one number, which changes no order"
                )
        exponent = 0 if _SMALL <= typical <= _LARGE else -math.frexp(typical)[1]
        return cls(asked=metric, exponent=exponent, shift=shift)

    @property
    def served(self) -> Metric:
        """The metric of the index: ``ip`` or ``l2``."""
        return "l2" if self.shift is not None or self.asked == "l2" else "ip"

    def rows(self, vectors: npt.NDArray[Any]) -> FloatArray:
        """Vectors of the corpus, (n, d) of any real dtype, as the index sees them: float32, C-contiguous.

        The same array where there is nothing to do.
        """
        if self.shift is None and self.asked == "cos":
            return normalised(vectors)
        if self.shift is None and self.exponent == 0:
            return np.ascontiguousarray(vectors, np.float32)
        framed = np.empty(vectors.shape, np.float32)
        for start, block in blocks(vectors):
            framed[start : start + len(block)] = self._in_frame(block)
        return framed

    def queries(self, vectors: npt.NDArray[Any], *, source: str = "queries") -> tuple[FloatArray, Factor]:
        """Queries as the index sees them, and what ``scores`` needs to bring the scores back.

        Under ``ip`` a query of extreme length is scaled by a power of two of its own, which changes no order.

        Args:
            vectors: (m, d) of any real dtype, checked.
            source: to name in errors.

        Returns:
            (m, d) float32, and the factor of the scores: one number, or (m, 1).

        Raises:
            DataError: a query so far from the corpus that no float32 distance can tell its rows apart.
        """
        if self.asked == "cos":
            return self.rows(vectors), 1.0 if self.shift is None else 2.0 ** (-1 - 2 * self.exponent)
        if self.asked == "ip":
            reach = _reach(vectors)
            if reach.min() >= _SMALL and reach.max() <= _LARGE:
                return np.ascontiguousarray(vectors, np.float32), 2.0**-self.exponent
            odd = ((reach > _LARGE) | (reach < _SMALL)) & (reach > 0)
            scale = np.where(odd, -np.frexp(reach)[1], 0)[:, None]
            framed = np.ldexp(vectors.astype(np.float64), scale).astype(np.float32)
            return framed, np.ldexp(1.0, -scale - self.exponent)
        moved = self.shift is not None or self.exponent != 0
        with np.errstate(over="ignore"):
            framed = self._in_frame(vectors) if moved else np.ascontiguousarray(vectors, np.float32)
        reach = _reach(framed)
        if not reach.max() < _FARTHEST:
            row = int(np.argmax(reach))
            raise DataError(
                f"{source}: row {row} has values near {float(_reach(vectors[row : row + 1])[0]):.1g}, so far from the "
                "corpus that float32 distances cannot tell its rows apart; remove that query"
            )
        return framed, 2.0 ** (-2 * self.exponent)

    def scores(self, scores: FloatArray, factor: Factor, *, source: str = "queries") -> FloatArray:
        """Scores of the index (m, k), in the units of the user; -inf stays. The same array where nothing changes.

        Raises:
            DataError: they are too large or too small for float32.
        """
        if isinstance(factor, float) and factor == 1.0:
            return scores
        if self.asked == "cos":  # of rows of length 1 it is 1 - |x - q|^2 / 2
            cosines: FloatArray = (1.0 + scores.astype(np.float64) * factor).astype(np.float32)
            return cosines
        known = np.where(np.isfinite(scores), np.abs(scores.astype(np.float64)), 0.0)
        most = (known * factor).max(axis=1)
        bad = (most > _MOST_SCORE) | ((most < _LEAST_SCORE) & (known.max(axis=1) > 0))
        if bad.any():
            row = int(np.argmax(bad))
            change = "divide" if most[row] > 1 else "multiply"
            raise DataError(
                f"{source}: the scores of row {row}, near {most[row]:.1g}, do not fit float32; {change} the vectors of "
                "corpus and queries by one number, which changes no order"
            )
        changed: FloatArray = (scores * factor).astype(np.float32)
        return changed

    @property
    def digest(self) -> str:
        """Hash of all of it: vectors framed alike are the same vectors."""
        moved = b"" if self.shift is None else self.shift.tobytes()
        return hashlib.blake2b(f"{self.asked} {self.exponent} ".encode() + moved, digest_size=16).hexdigest()

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        return 0 if self.shift is None else self.shift.nbytes

    def counted(self, memory: MemoryReport) -> MemoryReport:
        """The memory of an index with that of its frame."""
        return memory if self.shift is None else MemoryReport(parts={**memory.parts, "frame": self.nbytes})

    def left(self, budget: Budget, n: int) -> Budget:
        """What the frame leaves of a budget to an index of n vectors."""
        allowed = allowed_bytes(budget, n)
        if self.shift is None or allowed is None:
            return budget
        return budget.model_copy(update={"index_bytes": max(1, allowed - self.nbytes), "bytes_per_vector": None})

    def write(self, folder: Path) -> None:
        """Write the shift, where there is one; metric and exponent are for the caller to keep."""
        if self.shift is not None:
            save_array(folder / _FILE, self.shift)

    @classmethod
    def read(cls, folder: Path, *, asked: Metric, exponent: int, dim: int | None = None) -> Frame:
        """Read what ``write`` wrote.

        Raises:
            ArtifactError: the file does not hold a shift of ``dim`` numbers.
        """
        path = folder / _FILE
        shift = load_array(path, np.float64, (dim,)) if path.exists() else None
        return cls(asked=asked, exponent=exponent, shift=shift)

    def _in_frame(self, vectors: npt.NDArray[Any]) -> FloatArray:
        moved = _moved(vectors.astype(np.float64), self.shift, unit=self.asked == "cos")
        framed: FloatArray = np.ldexp(moved, self.exponent).astype(np.float32)
        return framed


def _moved(vectors: npt.NDArray[Any], shift: DoubleArray | None, *, unit: bool) -> npt.NDArray[Any]:
    if shift is None:
        return vectors
    if unit:
        vectors = _unit(vectors.astype(np.float64))
    moved: DoubleArray = np.subtract(vectors, shift, dtype=np.float64)
    return moved


def _reach(vectors: npt.NDArray[Any]) -> DoubleArray:
    """(n,) largest magnitude in each row."""
    if vectors.dtype.kind == "i":  # the least integer has no magnitude in its type
        vectors = vectors.astype(np.float64)
    reach: DoubleArray = np.abs(vectors).max(axis=1).astype(np.float64)
    return reach


def _unit(vectors: DoubleArray) -> DoubleArray:
    scaled = vectors / np.abs(vectors).max(axis=1, keepdims=True)
    unit: DoubleArray = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


def _centre(vectors: npt.NDArray[Any], metric: Metric) -> DoubleArray | None:
    """The shift, or None where the vectors lie about the origin. Medians, so that a few odd rows do not decide."""
    n, d = vectors.shape
    rows = max(64, _SAMPLE_VALUES // d)
    sample = np.asarray(vectors[:: -(-n // rows)], np.float64)
    sample = _unit(sample) if metric == "cos" else sample
    centre = np.median(sample, axis=0)
    apart = _length(sample - centre)
    if not apart.any():
        return None
    away, spread = float(_length(centre[None])[0]), float(np.median(apart[apart > 0]))
    if away <= _FAR[metric] * spread:
        return None
    grid = math.ldexp(1.0, math.frexp(spread / math.sqrt(d))[1] - 1)
    shift: DoubleArray = np.round(centre / grid) * grid
    return shift


def _length(vectors: DoubleArray) -> DoubleArray:
    """Lengths of rows; values of any magnitude."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scale = np.where(largest > 0, largest, 1.0)
    lengths: DoubleArray = np.sqrt(((vectors / scale) ** 2).sum(axis=1)) * scale[:, 0]
    return lengths
