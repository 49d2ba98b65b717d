"""One bit for each dimension finds candidates; the bits that remain re-rank them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import basis_bytes, principal
from retrieval_bench.codecs._bits import pack, packed_bytes, unpack
from retrieval_bench.codecs._plan import first_fitting, lost, ranks, variances
from retrieval_bench.codecs._uniform import learned_steps, quantized, restored
from retrieval_bench.types import FloatArray


@dataclass(frozen=True)
class _Layout:
    rank: int
    bits: int  # of the code that re-ranks; 0: none

    def cost(self, n: int, d: int) -> int:
        codes = packed_bytes(self.rank, 1) + packed_bytes(self.rank, self.bits)
        tables = 4 * self.rank * (1 + (self.bits > 0))
        return n * codes + tables + basis_bytes(d, self.rank)


@registered.register("binary")
class Binary(Codec):
    """Signs of the centred coordinates, compared with the query's own coordinates (asymmetric: Gordo et al. 2014).

    The second level codes what the signs leave, so that both together decode the vector.
    """

    name = "binary"

    @property
    def two_level(self) -> bool:
        """See Codec: where there are bits to re-rank with."""
        return self.facts["bits"] > 0

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
        layouts = [_Layout(rank, bits) for rank in ranks(d) for bits in (0, 1, 2, 4, 8)]
        layouts.sort(key=lambda p: lost(spread, p.rank, p.rank * (1 + p.bits), adaptive=False))
        chosen = first_fitting(self.name, layouts, lambda p: p.cost(n, d), n=n, bytes_per_vector=bytes_per_vector)
        self.facts = {"rank": chosen.rank, "bits": chosen.bits}
        self.tables = principal(vectors, chosen.rank, seed)
        reduced = self.queries(vectors)
        self.tables["scales"] = np.abs(reduced).mean(axis=0, dtype=np.float64).astype(np.float32)
        if chosen.bits:
            self.tables["steps"] = learned_steps(self._rest(reduced, reduced > 0), chosen.bits)

    def encode(self, vectors: FloatArray) -> Arrays:
        """``signs`` (n, bytes) uint8, and ``rest`` where there is a second level."""
        reduced, bits = self.queries(vectors), self.facts["bits"]
        signs = reduced > 0
        codes = {"signs": pack(signs.view(np.uint8), 1)}
        if bits:
            codes["rest"] = pack(quantized(self._rest(reduced, signs), self.tables["steps"], bits), bits)
        return codes

    def _rest(self, reduced: FloatArray, signs: npt.NDArray[np.bool_]) -> FloatArray:
        return reduced - np.where(signs, self.tables["scales"], -self.tables["scales"])

    def coarse(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec: from the signs alone."""
        found = unpack(codes["signs"][rows], 1, self.facts["rank"]).astype(np.float32)
        found *= 2 * self.tables["scales"]
        found -= self.tables["scales"]
        return found

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        found, bits = self.coarse(codes, rows), self.facts["bits"]
        if bits:
            found += restored(unpack(codes["rest"][rows], bits, self.facts["rank"]), self.tables["steps"], bits)
        return found
