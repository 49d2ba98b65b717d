"""The arrays of an index of reduced vectors: what each is, their bytes and their files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from retrieval_bench.files import atomic_file
from retrieval_bench.kernels.scan import ROWS, CodeArray, Int32Array
from retrieval_bench.types import FloatArray, IntArray

_PARTS = {
    "matrix": "projection", "mean": "projection", "starts": "lists", "rows": "lists", "grid": "coded",
    "centroid_bias": "centroids",
}  # fmt: skip
PROFILE = "profile_"  # begins the names of what no answer needs


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The arrays of an index; those that it does not need are None.

    Attributes:
        matrix: (D, d) float32 that reduces queries.
        mean: (D,) float32, removed from documents before they were reduced.
        codes, starts, rows, bias: of the reduced documents (see ``kernels.scan.Lists``).
        coded: (slots, D) uint8 to re-rank with, without their mean; before the originals where there are both.
        grid: (slots, 2) float32 scale and offset of each of ``coded``.
        originals: (slots, D) float32 or float16 to re-rank with.
        ids: (slots,) int32 row that stands in each slot; None: slot and row are the same.
        centroids, centroid_bias: codes and bias of the lists' centres, as those of documents.
        profile_*: statistics of the training queries, for ``drift``; no answer needs them.
    """

    matrix: FloatArray
    mean: FloatArray
    codes: CodeArray
    starts: IntArray
    rows: IntArray
    bias: FloatArray | None = None
    coded: CodeArray | None = None
    grid: FloatArray | None = None
    originals: npt.NDArray[np.generic] | None = None
    ids: Int32Array | None = None
    centroids: CodeArray | None = None
    centroid_bias: FloatArray | None = None
    profile_basis: FloatArray | None = None
    profile_center: FloatArray | None = None
    profile_whitener: FloatArray | None = None
    profile_distances: FloatArray | None = None
    profile_kept: FloatArray | None = None

    def __post_init__(self) -> None:
        slots, d = ROWS * len(self.codes), len(self.mean)
        shapes = {"matrix": (d, self.matrix.shape[-1]), "coded": (slots, d), "grid": (slots, 2), "ids": (slots,)}
        for name, array in self.arrays().items():
            if array.shape != ((slots, d) if name == "originals" else shapes.get(name, array.shape)):
                raise ValueError(f"{name} has the shape {array.shape}, which does not fit the other arrays")

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Those that are there, by name."""
        return {f.name: a for f in fields(self) if (a := getattr(self, f.name)) is not None}

    def bytes_by_part(self) -> dict[str, int]:
        """Bytes of all that answering a query needs."""
        parts: Counter[str] = Counter()
        for name, array in self.arrays().items():
            if not name.startswith(PROFILE):
                parts[_PARTS.get(name, name)] += array.nbytes
        return dict(parts)

    def save(self, folder: Path) -> None:
        """Write one ``.npy`` file for each array."""
        for name, array in self.arrays().items():
            with atomic_file(folder / f"{name}.npy") as path:
                np.save(path, array)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote; OSError, ValueError, TypeError or EOFError where that is damaged."""
        paths = {f.name: folder / f"{f.name}.npy" for f in fields(cls)}
        return cls(**{name: np.load(path, allow_pickle=False) for name, path in paths.items() if path.exists()})
