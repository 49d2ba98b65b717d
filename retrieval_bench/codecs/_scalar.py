"""What the scalar codecs share: one integer for each principal component that the bytes pay for."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows
from retrieval_bench.codecs._basis import basis_bytes, principal
from retrieval_bench.codecs._bits import pack, packed_bytes, unpack
from retrieval_bench.codecs._plan import first_fitting
from retrieval_bench.codecs._uniform import learned_steps, quantized, restored
from retrieval_bench.types import FloatArray


class ScalarCodec(Codec):
    """Integers of ``bits`` bits with a learned step for each dimension."""

    bits: ClassVar[int]

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
        rank = first_fitting(
            self.name,
            range(d, 0, -1),
            lambda r: n * packed_bytes(r, self.bits) + 4 * r + basis_bytes(d, r),
            n=n,
            bytes_per_vector=bytes_per_vector,
        )
        self.tables, self.facts = principal(vectors, rank, seed), {"rank": rank}
        self.tables["steps"] = learned_steps(self.queries(vectors), self.bits)

    def encode(self, vectors: FloatArray) -> Arrays:
        """``codes`` (n, bytes) uint8."""
        return {"codes": pack(quantized(self.queries(vectors), self.tables["steps"], self.bits), self.bits)}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        return restored(unpack(codes["codes"][rows], self.bits, self.facts["rank"]), self.tables["steps"], self.bits)
