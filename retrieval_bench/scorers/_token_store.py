"""Token vectors of a corpus, reduced and quantized, and MaxSim over them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from retrieval_bench.arrays import Sizes, load_array, save_array, unfit
from retrieval_bench.types import FloatArray, IntArray

Storage = Literal["float16", "int8"]

_BLOCK_VALUES = 1 << 22  # similarities held together: stays near the cache


class TokenStore:
    """Vectors of all tokens of n documents, one after another.

    Attributes:
        values: (t, dim) float16, or int8 with a scale per vector.
        scales: (t,) float32, a vector's largest absolute value / 127; None for float16.
        starts: (n + 1,) int64; document i has rows ``starts[i]:starts[i + 1]``, at least one.
        projection: (d, dim) float32 with orthonormal columns, from the encoder's vectors to those kept.
    """

    def __init__(
        self,
        values: npt.NDArray[np.float16 | np.int8],
        scales: FloatArray | None,
        starts: IntArray,
        projection: FloatArray,
    ) -> None:
        self.values, self.scales, self.starts, self.projection = values, scales, starts, projection

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by part."""
        held = {"tokens": self.values, "scales": self.scales, "starts": self.starts, "projection": self.projection}
        return {name: array.nbytes for name, array in held.items() if array is not None}

    def max_sim(self, query: FloatArray, rows: IntArray | None = None) -> FloatArray:
        """Mean over a query's tokens of the largest inner product with a token of the document.

        Khattab and Zaharia 2020 (arXiv 2004.12832, section 3.3) take the sum; the mean orders a query's documents
        alike and is comparable between queries.

        Args:
            query: (s, d) float32 vectors of length 1, as the encoder gives them.
            rows: (r,) documents to score; None is all.

        Returns:
            (r,) float32.
        """
        reduced = query @ self.projection
        chosen = np.arange(len(self)) if rows is None else rows
        ends = np.cumsum(self.starts[chosen + 1] - self.starts[chosen])
        scores = np.empty(len(chosen), np.float32)
        most = max(1, _BLOCK_VALUES // max(len(query), self.values.shape[1]))
        first = 0
        while first < len(chosen):
            done = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, done + most, side="right")))
            scores[first:last] = self._block(reduced, chosen[first:last])
            first = last
        return scores

    def _block(self, query: FloatArray, rows: IntArray) -> FloatArray:
        lengths = self.starts[rows + 1] - self.starts[rows]
        begins = np.cumsum(lengths) - lengths
        if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            tokens: slice | IntArray = slice(self.starts[rows[0]], self.starts[rows[-1] + 1])
        else:
            tokens = np.repeat(self.starts[rows] - begins, lengths) + np.arange(lengths.sum())
        similar = self.values[tokens].astype(np.float32) @ query.T
        if self.scales is not None:
            similar *= self.scales[tokens][:, None]
        best: FloatArray = np.maximum.reduceat(similar, begins, axis=0)
        scores: FloatArray = best.mean(axis=1)
        return scores

    def means(self) -> FloatArray:
        """(n, dim) float32: the mean of every document's token vectors, of length 1."""
        means = np.empty((len(self), self.values.shape[1]), np.float32)
        for i, (begin, end) in enumerate(zip(self.starts[:-1], self.starts[1:], strict=True)):
            tokens = self.values[begin:end].astype(np.float32)
            if self.scales is not None:
                tokens *= self.scales[begin:end, None]
            means[i] = tokens.mean(axis=0)
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return means

    def save(self, folder: Path) -> None:
        """Write the arrays as .npy."""
        for name in ("values", "scales", "starts", "projection"):
            if (array := getattr(self, name)) is not None:
                save_array(folder / f"{name}.npy", array)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            ArtifactError: an array is missing, or they do not fit each other.
        """
        sizes: Sizes = {}
        values = load_array(folder / "values.npy", (np.float32, np.float16, np.int8), ("tokens", "dim"), sizes)
        projection = load_array(folder / "projection.npy", np.float32, (None, "dim"), sizes)
        scales = load_array(folder / "scales.npy", np.float32, ("tokens",), sizes) if values.dtype == np.int8 else None
        starts = load_array(folder / "starts.npy", np.int64, (None,), low=0, high=len(values) + 1)
        if len(starts) < 2 or starts[0] != 0 or starts[-1] != len(values) or bool((np.diff(starts) <= 0).any()):
            raise unfit(folder, "the files of these token vectors do not fit each other")
        return cls(values, scales, starts, projection)


def principal_axes(vectors: FloatArray, dim: int) -> FloatArray:
    """(d, dim) float32: the directions that keep most of the inner products of (n, d) vectors, not centred."""
    gram = vectors.T.astype(np.float64) @ vectors
    axes: FloatArray = np.linalg.eigh(gram)[1][:, ::-1][:, :dim].astype(np.float32)
    return np.ascontiguousarray(axes)


def quantized(vectors: FloatArray, storage: Storage) -> tuple[npt.NDArray[np.float16 | np.int8], FloatArray | None]:
    """Vectors (t, dim) as they are stored, with the scale of each for int8."""
    if storage == "float16":
        return vectors.astype(np.float16), None
    scales = np.maximum(np.abs(vectors).max(axis=1), np.finfo(np.float32).tiny) / np.float32(127)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales
