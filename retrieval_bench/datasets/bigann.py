"""The files of big-ann-benchmarks and RAFT: ``.fbin``, ``.f16bin``, ``.u8bin``, ``.i8bin`` and neighbors in ``.ibin``.

A vector file is uint32 n and d, then n x d values, little-endian. A neighbor file is uint32 m and k, then m x k int32
rows and, in most files, m x k float32 distances.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.datasets._vector_folder import find_files, type_suffix
from retrieval_bench.datasets._vectorset import Given, as_floats, vector_dataset
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard
from retrieval_bench.types import Dataset, IntArray

_VALUES = {".fbin": "<f4", ".f16bin": "<f2", ".u8bin": "u1", ".i8bin": "i1"}
_HEADER_BYTES = 8


@readers.register("bigann")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read a folder of big-ann-benchmarks files, or one file as a corpus without queries. ``l2`` unless the card says.

    ``.fbin`` stay memory-mapped; the narrower types become float32 in memory.

    Raises:
        DataError: a file is missing, or its header does not agree with its size.
    """
    files = find_files(card, path, vectors=_VALUES, neighbors=(".ibin", ".bin", ""))
    given = {"test": Given(read_neighbors(files.groundtruth))} if files.groundtruth and "test" in files.queries else {}
    return vector_dataset(
        card,
        source=str(path),
        metric=card.metric or "l2",
        corpus=as_floats(read_bin(files.base), source=str(files.base)),
        queries={split: as_floats(read_bin(file), source=str(file)) for split, file in files.queries.items()},
        given=given,
        notes=files.notes,
    )


def read_bin(path: Path) -> npt.NDArray[Any]:
    """Map a vector file into memory as a read-only (n, d) array of its own type.

    Raises:
        DataError: an unknown suffix, or a header that does not agree with the size of the file.
    """
    suffix = type_suffix(path)
    if suffix not in _VALUES:
        raise DataError(f"{path}: not a vector file; known suffixes: {', '.join(_VALUES)}")
    value = np.dtype(_VALUES[suffix])
    n, d = _header(path)
    _check_size(path, n, d, (n * d * value.itemsize,))
    return np.memmap(path, dtype=value, mode="r", offset=_HEADER_BYTES, shape=(n, d))


def read_neighbors(path: Path) -> IntArray:
    """Read the (m, k) rows of a neighbor file as int64; distances behind them are left, as their scale differs by set.

    Raises:
        DataError: the header does not agree with the size of the file.
    """
    m, k = _header(path)
    _check_size(path, m, k, (m * k * 4, m * k * 8))
    return np.fromfile(path, "<u4", count=m * k, offset=_HEADER_BYTES).reshape(m, k).astype(np.int64)


def _header(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES:
        raise DataError(f"{path}: has {len(header)} bytes, less than its header of {_HEADER_BYTES}")
    return int.from_bytes(header[:4], "little"), int.from_bytes(header[4:], "little")


def _check_size(path: Path, n: int, d: int, payloads: tuple[int, ...]) -> None:
    if n == 0 or d == 0:
        raise DataError(f"{path}: its header says {n} rows of {d} values; it holds nothing")
    size = path.stat().st_size - _HEADER_BYTES
    if size not in payloads:
        expected = " or ".join(str(p) for p in payloads)
        raise DataError(
            f"{path}: its header says {n} rows of {d} values, which is {expected} bytes, but {size} follow; "
            "the file is cut short or is not of this type, get it again"
        )
