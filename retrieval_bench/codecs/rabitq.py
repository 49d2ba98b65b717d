"""RaBitQ: after a random rotation a bit or a few for each dimension, and one number that makes products unbiased."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import basis_bytes, components, half
from retrieval_bench.codecs._bits import pack, packed_bytes, unpack
from retrieval_bench.codecs._plan import first_fitting, lost, ranks, variances
from retrieval_bench.codecs._turn import ROUNDS, random_signs, turned
from retrieval_bench.types import FloatArray

_FACTOR_BYTES = 4
_STEPS = {1: (1.0,), 2: (0.8, 0.9, 1.0, 1.1, 1.2), 4: (0.27, 0.31, 0.335, 0.36, 0.4), 8: (0.022, 0.026, 0.03, 0.035)}


@dataclass(frozen=True)
class _Layout:
    rank: int
    bits: int

    def cost(self, n: int, d: int) -> int:
        turn = ROUNDS * d if self.rank == d else basis_bytes(d, self.rank)
        return n * (packed_bytes(self.rank, self.bits) + _FACTOR_BYTES) + turn


@registered.register("rabitq")
class RaBitQ(Codec):
    """Gao and Long 2024 (one bit) and Gao et al. 2024, arXiv 2409.09913 (several).

    With c the code as levels about zero and o the rotated vector, ``<q, c> * |o|^2 / <c, o>`` estimates ``<q, o>``
    without bias; that factor stands beside the code. With one bit this is the estimator of faiss' IndexRaBitQ.
    """

    name = "rabitq"

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
        layouts = [_Layout(rank, bits) for rank in ranks(d) for bits in _STEPS]
        layouts.sort(key=lambda p: lost(spread, p.rank, p.rank * p.bits, adaptive=False))
        chosen = first_fitting(self.name, layouts, lambda p: p.cost(n, d), n=n, bytes_per_vector=bytes_per_vector)
        self.facts = {"rank": chosen.rank, "bits": chosen.bits}
        if chosen.rank == d:
            self.tables = {"signs": random_signs(d, seed)}
        else:
            reduction = components(vectors, chosen.rank, seed).rotated(seed)
            self.tables = {"basis": half(reduction.database, what=self.name)}

    def queries(self, vectors: FloatArray) -> FloatArray:
        """See Codec: rotated, and reduced where the code is of fewer dimensions."""
        return turned(vectors, self.tables["signs"]) if "signs" in self.tables else super().queries(vectors)

    def encode(self, vectors: FloatArray) -> Arrays:
        """``codes`` (n, bytes) uint8 and ``factors`` (n,) float32."""
        rotated, bits = self.queries(vectors), self.facts["bits"]
        deviation = np.sqrt(np.einsum("nr,nr->n", rotated, rotated) / rotated.shape[1])
        best = np.full(len(rotated), -np.inf, np.float32)
        numbers = np.zeros(rotated.shape, np.uint8)
        for step in _STEPS[bits]:  # the step that leaves the smallest angle, for each vector
            inverse = np.divide(1, step * deviation, out=np.zeros_like(deviation), where=deviation > 0)
            tried = _numbers(rotated * inverse[:, None], bits)
            levels = _levels(tried, bits)
            cosine = np.einsum("nr,nr->n", levels, rotated) / np.sqrt(np.einsum("nr,nr->n", levels, levels))
            better = cosine > best
            numbers[better], best[better] = tried[better], cosine[better]
        products = np.einsum("nr,nr->n", _levels(numbers, bits), rotated)
        squares = np.einsum("nr,nr->n", rotated, rotated)
        factors = np.divide(squares, products, out=np.zeros_like(squares), where=products > 0)
        return {"codes": pack(numbers, bits), "factors": factors}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        bits = self.facts["bits"]
        found = _levels(unpack(codes["codes"][rows], bits, self.facts["rank"]), bits)
        found *= codes["factors"][rows, None]
        return found


def _numbers(scaled: FloatArray, bits: int) -> npt.NDArray[np.uint8]:
    most = (1 << bits) - 1
    numbers: npt.NDArray[np.uint8] = np.clip(np.floor(scaled + (most + 1) / 2), 0, most).astype(np.uint8)
    return numbers


def _levels(numbers: npt.NDArray[np.uint8], bits: int) -> FloatArray:
    levels = numbers.astype(np.float32)
    levels -= ((1 << bits) - 1) / 2
    return levels
