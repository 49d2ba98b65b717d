"""One HDF5 file of vectors: what its attributes say, and its data sets, which must lie in the file itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from retrieval_bench.datasets._bounds import check_claim
from retrieval_bench.datasets._vectorset import as_floats
from retrieval_bench.errors import DataError
from retrieval_bench.metric_words import KNOWN, metric_of
from retrieval_bench.types import FloatArray, Metric

_DISTANCE = ("distance", "metric", "distance_metric", "similarity")  # attributes that say how vectors compare
_DIMENSION = ("dimension", "dimensions", "dim", "dims")
# What ann-benchmarks and VIBE write under these names; what others mean by theirs (squared or not) is not known.
_CONVENTIONS = ("euclidean", "angular", "cosine", "normalized", "dot", "ip", "hamming")
_BLOCK_VALUES = 1 << 24  # values looked at together: bounds the temporary memory of a pass


class Hdf5File:
    """An open file. Nothing that lies in another file is read: links and storage that lead there are refused.

    Raises:
        DataError: it holds sets, or its distance is not known.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self.path = file, path
        self._distance = next(filter(None, map(self._text, _DISTANCE)), "").lower()
        self._packed = self._text("point_type").lower() == "binary"
        if self._text("type") == "sparse" or self._distance == "jaccard":
            raise DataError(f"{path}: holds sets (jaccard), which vector indexes do not serve")
        if self._distance and self._metric_said() is None:
            raise DataError(f"{path}: unknown distance {self._distance!r:.60}; known: {KNOWN}; hamming, on bits")

    def _text(self, key: str) -> str:
        value = self._file.attrs.get(key, "")
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

    def _metric_said(self) -> Metric | None:
        return "l2" if self._distance == "hamming" else metric_of(self._distance)

    def distance(self) -> str:
        """What the file calls its distance; empty where it does not say."""
        return self._distance

    def metric(self) -> Metric | None:
        """Our metric for the file's distance; None when it has none."""
        return self._metric_said() if self._distance else None

    def names(self) -> list[str]:
        """Names of the data sets, links that may be some among them."""
        return [name for name in self._file if not isinstance(self._own(name), h5py.Group)]

    def _own(self, name: str) -> Any:
        """What a name stands for, or the link that it is: nothing is followed."""
        link = self._file.get(name, getlink=True)
        return self._file[name] if isinstance(link, h5py.HardLink) else link

    def values(self, name: str) -> npt.NDArray[Any]:
        """All values of a data set, memory-mapped where they lie in one piece.

        Raises:
            DataError: there is none, it lies in another file, or it claims far more than the file holds.
        """
        data = self._data(name)
        offset = data.id.get_offset()  # None where the data is chunked, compressed or empty
        if offset is not None and offset % 4 == 0 and data.dtype == np.dtype("<f4"):
            return np.memmap(self.path, dtype="<f4", mode="r", offset=offset, shape=data.shape)
        check_claim(data.nbytes, data.id.get_storage_size(), source=f"{self.path}: {name!r}")
        array: npt.NDArray[Any] = data[...]
        return array

    def ends(self, name: str) -> tuple[Any, Any]:
        """The first and the last row of a data set.

        Raises:
            DataError: as ``values``.
        """
        data = self._data(name)
        return (data[:1], data[-1:]) if data.shape and data.shape[0] else ((), ())

    def _data(self, name: str) -> h5py.Dataset:
        if name not in self.names():
            raise DataError(f"{self.path}: has no data set {name!r} (found: {', '.join(self.names()) or 'none'})")
        data = self._own(name)
        if not isinstance(data, h5py.Dataset) or data.external or data.is_virtual:
            raise DataError(
                f"{self.path}: {name!r} is a link, or leads to another file; copy the values themselves into this one"
            )
        if data.dtype.kind not in "fiub" or data.shape is None:
            raise DataError(f"{self.path}: {name!r} holds values of type {data.dtype}, not numbers")
        chunk = math.prod(data.chunks or ()) * data.dtype.itemsize  # unpacked whole for any of its values
        check_claim(chunk, self.path.stat().st_size, source=f"{self.path}: {name!r}")
        return data

    def vectors(self, name: str) -> FloatArray:
        """(n, d) float32 of a data set, unpacked where it holds bits.

        Raises:
            DataError: as ``values``; other dimensions than the file says; under Hamming distance, values that are
                neither bits nor known to be packed ones.
        """
        values = self.values(name)
        if values.ndim != 2:
            raise DataError(f"{self.path}: {name!r}: vectors must have the shape (n, d), not {values.shape}")
        stated = self._dimension()
        if self._packed or (self._distance == "hamming" and stated not in (None, values.shape[1])):
            return self._unpacked(name, values, stated)
        if stated not in (None, values.shape[1]):
            raise DataError(f"{self.path}: says {stated} dimensions, but {name!r} has rows of {values.shape[1]} values")
        if self._distance == "hamming" and not _are_bits(values):
            raise DataError(
                f"{self.path}: {name!r} holds other values than 0 and 1, which Hamming distance counts as bits; where "
                "they are packed, say so by the attribute 'dimension' = number of bits, else give vectors of 0 and 1"
            )
        return as_floats(values, source=f"{self.path}: {name!r}")

    def _dimension(self) -> int | None:
        said = next((self._file.attrs[key] for key in _DIMENSION if key in self._file.attrs), None)
        if said is None:
            return None
        if np.ndim(said) != 0 or not isinstance(said, int | float | np.number) or said != int(said):
            raise DataError(f"{self.path}: its number of dimensions is {said!r:.60}, not a whole number")
        return int(said)

    def _unpacked(self, name: str, values: npt.NDArray[Any], stated: int | None) -> FloatArray:
        """Bits of bytes, the first highest, as NumPy packs them; of wider integers all of their bits, in any order."""
        if values.dtype.kind not in "iu":
            raise DataError(f"{self.path}: {name!r} holds {values.dtype}, packed bits are integers")
        width = values.dtype.itemsize
        packed = np.ascontiguousarray(values).view(np.uint8)
        bits = 8 * packed.shape[1]
        d = bits if stated is None else stated
        if not bits - 8 < d <= bits or (width > 1 and d != bits):
            raise DataError(f"{self.path}: says {d} dimensions, but {name!r} holds {bits} bits in a row")
        return np.unpackbits(packed, axis=1, count=d).astype(np.float32)

    def scores(self, name: str, d: int) -> npt.NDArray[np.floating] | None:
        """Distances of the file, between vectors of d values, as scores by our convention.

        None when it has none, or calls its metric by a name of which it is not known what its distances are.
        """
        if name not in self.names() or self._distance not in _CONVENTIONS:
            return None
        distances = np.asarray(self.values(name), np.float64)
        if self._distance == "hamming":  # bits that differ (VIBE), or their share (older ann-benchmarks files)
            return -distances * d if (distances % 1).any() else -distances
        if self._distance == "euclidean":
            return -(distances**2)
        return -distances if self.metric() == "ip" else 1 - distances


def _are_bits(values: npt.NDArray[Any]) -> bool:
    step = max(1, _BLOCK_VALUES // max(1, values.shape[1]))
    blocks = (values[start : start + step] for start in range(0, len(values), step))
    return all(bool(((block == 0) | (block == 1)).all()) for block in blocks)
