"""Deduplication: blocks of vectors that nearly agree are kept once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import HALF, half
from retrieval_bench.codecs._plan import first_fitting, in_all
from retrieval_bench.types import FloatArray, IntArray

_POINTER_BYTES = 2
_MOST_BLOCKS = 1 << 16
_HASHES = 6
_HALVINGS = 18


@registered.register("dedup")
class Dedup(Codec):
    """Near-equal blocks found by locality-sensitive hashing under l2 (Datar et al. 2004), as in Zhou et al. 2022.

    Blocks whose hashes agree share their mean. The width of a hash cell is the smallest whose blocks fit.
    """

    name = "dedup"

    def fit(
        self,
        vectors: FloatArray,
        bytes_per_vector: float,
        *,
        seed: int = 0,
        traffic: npt.NDArray[np.float64] | None = None,  # noqa: ARG002 - treats all vectors alike
    ) -> None:
        """See Codec."""
        n, d = vectors.shape
        parts = [m for m in range(d, 0, -1) if d % m == 0]
        roomy = [m for m in parts if m == 1 or 2 * _POINTER_BYTES * m <= bytes_per_vector]  # half for the blocks
        m = first_fitting(
            self.name,
            roomy,
            lambda m: n * _POINTER_BYTES * m + HALF * d // m,
            n=n,
            bytes_per_vector=bytes_per_vector,
        )
        width = d // m
        blocks = np.ascontiguousarray(vectors).reshape(n * m, width)
        most = (in_all(bytes_per_vector, n) - n * _POINTER_BYTES * m) // (HALF * width)
        self._pointers, count = _merged(blocks, min(most, _MOST_BLOCKS), seed)
        sums = np.empty((count, width))
        for column in range(width):
            sums[:, column] = np.bincount(self._pointers, blocks[:, column], count)
        means = sums / np.bincount(self._pointers, minlength=count)[:, None]
        self.tables = {"blocks": half(means, what=self.name)}
        self.facts = {"parts": m}

    def encode(self, vectors: FloatArray) -> Arrays:
        """``pointers`` (n, parts) uint16."""
        return {"pointers": self._pointers.astype(np.uint16).reshape(len(vectors), -1)}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        pointers = codes["pointers"][rows]
        return self.tables["blocks"][pointers].reshape(len(pointers), -1).astype(np.float32)


def _merged(blocks: FloatArray, most: int, seed: int) -> tuple[IntArray, int]:
    """The number of the kept block for each, and how many are kept: no more than ``most``."""
    generator = np.random.default_rng(seed)
    along = blocks @ generator.standard_normal((blocks.shape[1], _HASHES)).astype(np.float32)
    offsets = generator.random(_HASHES).astype(np.float32)
    mixing = generator.integers(1, 1 << 62, _HASHES) | 1

    def cells(width: float) -> tuple[IntArray, int]:
        keys = (np.floor(along / width + offsets).astype(np.int64) * mixing).sum(axis=1)
        found, numbers = np.unique(keys, return_inverse=True)
        return numbers, len(found)

    low, high = 0.0, 4 * float(np.abs(along).max(initial=0)) + 1e-6
    best = np.zeros(len(blocks), np.int64), 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        numbers, count = cells(middle)
        if count <= most:
            best, high = (numbers, count), middle
        else:
            low = middle
    return best
