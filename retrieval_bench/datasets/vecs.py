"""TEXMEX files: ``.fvecs``, ``.ivecs`` and ``.bvecs``, as SIFT1M, GIST1M and Deep1B use (corpus-texmex.irisa.fr).

Every row is an int32 with the number of dimensions, then as many float32, int32 or uint8 values, little-endian.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.datasets._vector_folder import find_files
from retrieval_bench.datasets._vectorset import Given, as_floats, vector_dataset
from retrieval_bench.errors import DataError
from retrieval_bench.registry import readers
from retrieval_bench.specs import DatasetCard
from retrieval_bench.types import Dataset

_VALUES = {".fvecs": "<f4", ".ivecs": "<i4", ".bvecs": "u1"}


@readers.register("vecs")
def read(card: DatasetCard, path: Path | None) -> Dataset:
    """Read a folder of TEXMEX files, or one file as a corpus without queries. ``l2`` unless the card says.

    ``.fvecs`` stay memory-mapped; ``.bvecs`` become float32 in memory.

    Raises:
        DataError: a file is missing, cut short, or has headers that do not agree (see ``read_vecs``).
    """
    files = find_files(card, path, vectors=(".fvecs", ".bvecs"), neighbors=(".ivecs",))
    given = {"test": Given(read_vecs(files.groundtruth))} if files.groundtruth and "test" in files.queries else {}
    return vector_dataset(
        card,
        source=str(path),
        metric=card.metric or "l2",
        corpus=as_floats(read_vecs(files.base), source=str(files.base)),
        queries={split: as_floats(read_vecs(file), source=str(file)) for split, file in files.queries.items()},
        given=given,
        notes=files.notes,
    )


def read_vecs(path: Path) -> npt.NDArray[Any]:
    """Map a TEXMEX file into memory.

    Returns:
        (n, d) read-only view of float32, int32 or uint8 values; rows are 4 bytes apart from each other.

    Raises:
        DataError: not one of the three suffixes, empty, cut short, or a row whose header differs from the first.
    """
    if path.suffix not in _VALUES:
        raise DataError(f"{path}: not a TEXMEX file; known suffixes: {', '.join(_VALUES)}")
    value = np.dtype(_VALUES[path.suffix])
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(4)
    if len(header) < 4:
        raise DataError(f"{path}: is empty ({size} bytes)")
    d = int.from_bytes(header, "little", signed=True)
    row_bytes = 4 + d * value.itemsize
    if d < 1 or size % row_bytes:
        raise DataError(
            f"{path}: the first row says {d} dimensions, but {size} bytes are no whole number of such rows; "
            "the file is cut short or damaged, get it again"
        )
    rows = np.memmap(path, dtype=[("d", "<i4"), ("values", value, (d,))], mode="r")
    differs = rows["d"] != d
    if differs.any():
        row = int(np.argmax(differs))
        raise DataError(f"{path}: row {row} says {rows['d'][row]} dimensions, row 0 says {d}; the file is damaged")
    return rows["values"]
