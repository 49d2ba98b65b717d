"""Locally-adaptive vector quantization: scalar codes on a grid of each vector's own.

Aguerrebere, Bhati, Hildebrand, Tepper and Willke 2023, "Similarity search in the blink of an eye with compressed
indices" (arXiv 2304.04759), sections 3.1 and 3.2. There the two constants of a vector are float16; here float32,
so that decoding adds no error of its own: 4 bytes per vector more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import basis_bytes, principal
from retrieval_bench.codecs._plan import first_fitting, lost, ranks, variances
from retrieval_bench.device.presence import gpu
from retrieval_bench.errors import DataError, UsageError
from retrieval_bench.types import FloatArray

if TYPE_CHECKING:
    import torch

CodeArray = npt.NDArray[np.uint8]
_BLOCK_ROWS = 1 << 10  # within the second-level cache
_DEVICE_ROWS = 1 << 17
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
        rows = _BLOCK_ROWS if gpu() is None else _DEVICE_ROWS
        blocks = [self._block(vectors[i : i + rows]) for i in range(0, max(1, len(vectors)), rows)]
        codes, residuals, grids = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return LvqCodes(codes=codes, residuals=residuals if self.residual_bits else None, grid=grids)

    def _block(self, vectors: FloatArray) -> tuple[CodeArray, CodeArray, FloatArray]:
        if (device := gpu()) is not None:
            return self._on_device(vectors, device)
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

    def _on_device(self, vectors: FloatArray, device: torch.device) -> tuple[CodeArray, CodeArray, FloatArray]:
        from retrieval_bench.device.lvq import encode_lvq
        from retrieval_bench.device.stream import to_device

        made = encode_lvq(to_device(vectors, device), to_device(self.mean, device), self.bits, self.residual_bits)
        values, rest, grid = (part.cpu().numpy() for part in made)
        return _pack(values, self.bits), _pack(rest, self.residual_bits), grid

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


_LEVELS: tuple[tuple[Literal[4, 8], Literal[0, 4, 8]], ...] = ((4, 0), (8, 0), (4, 4), (4, 8), (8, 8))


@registered.register("lvq")
class LvqCodec(Codec):
    """The coding under the common knob: in as many principal components, and of the levels, that lose least.

    The first level finds candidates, and both re-rank them. Vectors arrive centred, so that the mean is zero.
    """

    name = "lvq"

    @property
    def two_level(self) -> bool:
        """See Codec."""
        return self.facts["residual_bits"] > 0

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
        spread = variances(vectors)
        layouts = [(rank, bits, rest) for rank in ranks(d) for bits, rest in _LEVELS]
        # One grid serves all dimensions of a vector, as if they were alike.
        layouts.sort(key=lambda p: lost(spread, p[0], p[0] * (p[1] + p[2]), adaptive=False))

        def cost(layout: tuple[int, Literal[4, 8], Literal[0, 4, 8]]) -> int:
            rank, bits, rest = layout
            needed: int = n * _coding(rank, bits, rest).bytes_per_vector() + basis_bytes(d, rank)
            return needed

        rank, bits, rest = first_fitting(self.name, layouts, cost, n=n, bytes_per_vector=bytes_per_vector)
        self.facts = {"rank": rank, "bits": bits, "residual_bits": rest}
        self.tables = principal(vectors, rank, seed)

    def encode(self, vectors: FloatArray) -> Arrays:
        """``codes`` and, of two levels, ``residuals`` (n, bytes) uint8; ``grid`` (n, 2) float32."""
        found = self._levels().encode(self.queries(vectors))
        codes: Arrays = {"codes": found.codes, "grid": found.grid}
        if found.residuals is not None:
            codes["residuals"] = found.residuals
        return codes

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        residuals = codes["residuals"][rows] if self.two_level else None
        return self._levels().decode(
            LvqCodes(codes=codes["codes"][rows], residuals=residuals, grid=codes["grid"][rows])
        )

    def coarse(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec: from the first level."""
        return self._levels().decode(LvqCodes(codes=codes["codes"][rows], residuals=None, grid=codes["grid"][rows]))

    def _levels(self) -> Lvq:
        return _coding(*(self.facts[name] for name in ("rank", "bits", "residual_bits")))


def _coding(rank: int, bits: int, residual_bits: int) -> Lvq:
    mean = np.zeros(rank, np.float32)
    return Lvq(mean=mean, bits=bits, residual_bits=residual_bits)  # type: ignore[arg-type]  # checked by Lvq itself


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
