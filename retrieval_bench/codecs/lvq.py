"""Locally-adaptive vector quantization: scalar codes on a grid of each vector's own.

Aguerrebere, Bhati, Hildebrand, Tepper and Willke 2023, "Similarity search in the blink of an eye with compressed
indices" (arXiv 2304.04759), sections 3.1 and 3.2. There the two constants of a vector are float16; here float32,
so that decoding adds no error of its own: 4 bytes per vector more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.types import FloatArray

CodeArray = npt.NDArray[np.uint8]
_BLOCK_ROWS = 1 << 10  # within the second-level cache
GRID_BYTES = 8  # scale and offset of a vector


@dataclass(frozen=True, kw_only=True)
class LvqCodes:
    """Encoded vectors.

    Attributes:
        codes: (n, bytes) uint8 of the first level; two 4-bit codes a byte, the even dimension in the low half.
        residuals: (n, bytes) uint8 of the second level, or None.
        grid: (n, 2) float32, scale and offset: a code c stands for ``offset + scale * c``.
    """

    codes: CodeArray
    residuals: CodeArray | None
    grid: FloatArray

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return self.codes.nbytes + self.grid.nbytes + (0 if self.residuals is None else self.residuals.nbytes)


@dataclass(frozen=True, kw_only=True)
class Lvq:
    """A coding of ``bits`` per dimension, and ``residual_bits`` more that refine it: 4, 8, 4x4, 4x8 or 8x8.

    Attributes:
        mean: (d,) float32, removed before encoding and added again after decoding.
    """

    mean: FloatArray
    bits: Literal[4, 8] = 8
    residual_bits: Literal[0, 4, 8] = 0

    def __post_init__(self) -> None:
        if (self.bits, self.residual_bits) not in ((4, 0), (8, 0), (4, 4), (4, 8), (8, 8)):
            raise UsageError(f"lvq: {self.bits}x{self.residual_bits} bits is none of 4, 8, 4x4, 4x8 and 8x8")

    def bytes_per_vector(self) -> int:
        """Bytes of one encoded vector, its grid included."""
        return sum(-(-len(self.mean) * bits // 8) for bits in (self.bits, self.residual_bits)) + GRID_BYTES

    def encode(self, vectors: FloatArray) -> LvqCodes:
        """Encode (n, d) float32, in blocks.

        Raises:
            DataError: the vectors do not have the dimensions of the mean.
        """
        if vectors.ndim != 2 or vectors.shape[1] != len(self.mean):
            raise DataError(f"lvq: vectors of the shape (n, {len(self.mean)}) are needed, not {vectors.shape}")
        blocks = [self._block(vectors[i : i + _BLOCK_ROWS]) for i in range(0, max(1, len(vectors)), _BLOCK_ROWS)]
        codes, residuals, grids = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return LvqCodes(codes=codes, residuals=residuals if self.residual_bits else None, grid=grids)

    def _block(self, vectors: FloatArray) -> tuple[CodeArray, CodeArray, FloatArray]:
        centred = vectors - self.mean
        low, high = centred.min(axis=1, keepdims=True), centred.max(axis=1, keepdims=True)
        scale = (high - low) / np.float32(2**self.bits - 1)
        step = np.where(scale > 0, scale, 1)  # a constant vector is its offset
        values = np.clip(np.rint((centred - low) / step), 0, 2**self.bits - 1)
        # The second level divides a cell of the first, [-scale / 2, scale / 2], evenly: it needs no constants.
        most = 2**self.residual_bits - 1
        rest = np.clip(np.rint(((centred - low) / step - values + np.float32(0.5)) * most), 0, most)
        return (
            _pack(values.astype(np.uint8), self.bits),
            _pack(rest.astype(np.uint8), self.residual_bits),
            np.hstack([scale, low]).astype(np.float32),
        )

    def decode(self, encoded: LvqCodes) -> FloatArray:
        """(n, d) float32, to within ``scale / 2`` in each dimension, or ``scale / (2 * (2^residual_bits - 1))``."""
        d = len(self.mean)
        values = _unpack(encoded.codes, self.bits, d).astype(np.float32)
        if encoded.residuals is not None:
            most = np.float32(2**self.residual_bits - 1)
            values += _unpack(encoded.residuals, self.residual_bits, d) / most - np.float32(0.5)
        return values * encoded.grid[:, :1] + encoded.grid[:, 1:] + self.mean


def fit_lvq(vectors: FloatArray, *, bits: Literal[4, 8] = 8, residual_bits: Literal[0, 4, 8] = 0) -> Lvq:
    """The coding for vectors (n, d) that are distributed as these are: all that is learned is their mean.

    Raises:
        UsageError: bits that are none of 4, 8, 4x4, 4x8 and 8x8.
    """
    mean = np.asarray(np.mean(vectors, axis=0, dtype=np.float64), np.float32)
    return Lvq(mean=mean, bits=bits, residual_bits=residual_bits)


def _pack(values: CodeArray, bits: int) -> CodeArray:
    if bits == 8:
        return values
    if bits == 0:
        return values[:, :0]
    if values.shape[1] % 2:
        values = np.pad(values, ((0, 0), (0, 1)))
    return np.asarray(values[:, ::2] | values[:, 1::2] << 4, np.uint8)


def _unpack(codes: CodeArray, bits: int, d: int) -> CodeArray:
    if bits == 8:
        return codes
    return np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)[:, :d]
