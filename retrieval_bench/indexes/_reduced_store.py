"""The arrays of an index of reduced vectors: what each is, their bytes and their files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from retrieval_bench.arrays import Shape, Sizes, load_array, save_array, unfit
from retrieval_bench.indexes._reduced_plan import Layout
from retrieval_bench.kernels.scan import LARGEST_CODE, ROWS, CodeArray, Int32Array, padded_dim
from retrieval_bench.types import FloatArray, IntArray

_PARTS = {
    "matrix": "projection", "centres": "projection", "reduced_centres": "projection", "starts": "lists",
    "rows": "lists", "cells": "lists", "grid": "coded", "centroid_scale": "centroids", "centroid_bias": "centroids",
}  # fmt: skip
PROFILE = "profile_"  # begins the names of what no answer needs
_FLOAT = np.float32
_FORMS: dict[str, tuple[Any, Shape, int | None, int | None]] = {  # type, shape, least value, and what all are below
    "matrix": (_FLOAT, ("D", "d"), None, None),
    "centres": (_FLOAT, ("cells", "D"), None, None),
    "reduced_centres": (_FLOAT, ("cells", "d"), None, None),
    "codes": (np.uint8, ("groups", "quads", ROWS, 4), 0, LARGEST_CODE + 1),
    "starts": (np.int64, ("lists",), 0, 1 << 40),
    "rows": (np.int64, ("lists",), 0, 1 << 40),
    "scale": (_FLOAT, ("slots",), None, None),
    "bias": (_FLOAT, ("slots",), None, None),
    "cells": (np.int32, ("groups",), 0, None),  # below the number of cells, as ``Lists`` sees to
    "coded": (np.uint8, ("slots", "D"), None, None),
    "grid": (_FLOAT, ("slots", 2), None, None),
    "originals": ((np.float32, np.float16), ("slots", "D"), None, None),
    "ids": (np.int32, ("slots",), -1, None),  # below the number of documents
    "centroids": (np.uint8, (None, "quads", ROWS, 4), 0, LARGEST_CODE + 1),
    "centroid_scale": (_FLOAT, (None,), None, None),
    "centroid_bias": (_FLOAT, (None,), None, None),
    "profile_basis": (_FLOAT, ("D", "p"), None, None),
    "profile_center": (_FLOAT, ("p",), None, None),
    "profile_whitener": (_FLOAT, ("p", "p"), None, None),
    "profile_distances": (_FLOAT, ("held",), None, None),
    "profile_kept": (_FLOAT, ("held",), None, None),
}
_ALWAYS = {"matrix", "centres", "reduced_centres", "codes", "starts", "rows"}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The arrays of an index; those that it does not need are None.

    Attributes:
        matrix: (D, d) float32 that reduces queries.
        centres: (cells, D) float32, of which that of its cell was removed from each document before it was reduced.
        reduced_centres: (cells, d) float32, reduced as queries are.
        codes, starts, rows, scale, bias, cells: of the reduced documents (see ``kernels.scan.Lists``).
        coded: (slots, D) uint8 to re-rank with, without their centres; before the originals where there are both.
        grid: (slots, 2) float32 scale and offset of each of ``coded``.
        originals: (slots, D) float32 to re-rank with, or float16 without their centres.
        ids: (slots,) int32 row that stands in each slot; None: slot and row are the same.
        centroids, centroid_scale, centroid_bias: codes of the lists' centres and what is beside them, as of documents.
        profile_*: statistics of the training queries, for ``drift``; no answer needs them.
    """

    matrix: FloatArray
    centres: FloatArray
    reduced_centres: FloatArray
    codes: CodeArray
    starts: IntArray
    rows: IntArray
    scale: FloatArray | None = None
    bias: FloatArray | None = None
    cells: Int32Array | None = None
    coded: CodeArray | None = None
    grid: FloatArray | None = None
    originals: npt.NDArray[np.generic] | None = None
    ids: Int32Array | None = None
    centroids: CodeArray | None = None
    centroid_scale: FloatArray | None = None
    centroid_bias: FloatArray | None = None
    profile_basis: FloatArray | None = None
    profile_center: FloatArray | None = None
    profile_whitener: FloatArray | None = None
    profile_distances: FloatArray | None = None
    profile_kept: FloatArray | None = None

    def __post_init__(self) -> None:
        slots, (cells, d) = ROWS * len(self.codes), self.centres.shape
        dim = self.matrix.shape[-1]
        shapes = {
            "matrix": (d, dim), "reduced_centres": (cells, dim), "coded": (slots, d), "grid": (slots, 2),
            "ids": (slots,), "originals": (slots, d),
        }  # fmt: skip
        for name, array in self.arrays().items():
            if array.shape != shapes.get(name, array.shape):
                raise ValueError(f"{name} has the shape {array.shape}, which does not fit the other arrays")
        if (self.coded is None) != (self.grid is None):
            raise ValueError("codes to re-rank with have no scales")

    def check(self, layout: Layout, n: int) -> None:
        """A ValueError where these are not the arrays of n documents in this layout."""
        if (
            int(self.rows.sum()) != n
            or self.matrix.shape[1] != layout.dim
            or padded_dim(layout.dim) != 4 * self.codes.shape[1]
        ):
            raise ValueError("the lists do not hold as many documents, or not of as many dimensions, as there are")
        if len(self.centres) != layout.cells or (self.cells is None) != (layout.cells == 1):
            raise ValueError("there are not as many cells as there should be")
        biased = layout.metric == "l2" or layout.biased
        of_lists = (
            [] if self.centroids is None else [(self.centroid_scale, layout.scaled), (self.centroid_bias, biased)]
        )
        if any(
            (array is not None) != there
            for array, there in [(self.scale, layout.scaled), (self.bias, biased), *of_lists]
        ):
            raise ValueError("scales or biases are missing, or there are some that no score has")

    @cached_property
    def largest_bias(self) -> float:
        """The largest absolute bias of a row; 0 where rows have none."""
        return 0.0 if self.bias is None else float(np.abs(self.bias).max(initial=0))

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
            save_array(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path, n: int) -> Self:
        """Read what save wrote of an index of n documents.

        Raises:
            ArtifactError: an array is missing, damaged, or does not fit the others.
        """
        sizes: Sizes = {}
        found = {}
        for name, (dtype, shape, low, high) in _FORMS.items():
            if (path := folder / f"{name}.npy").exists() or name in _ALWAYS:
                most = n if name == "ids" else high
                found[name] = load_array(path, dtype, shape, sizes, low=low, high=most)
        try:
            return cls(**found)
        except ValueError as error:
            raise unfit(folder, str(error)) from error
