"""Half precision, in as many principal components as the bytes pay for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import HALF, basis_bytes, half, principal
from retrieval_bench.codecs._plan import first_fitting
from retrieval_bench.types import FloatArray


@registered.register("fp16")
class Fp16(Codec):
    """Truncation alone: two bytes for each coordinate kept."""

    name = "fp16"

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
            lambda r: n * HALF * r + basis_bytes(d, r),
            n=n,
            bytes_per_vector=bytes_per_vector,
        )
        self.tables, self.facts = principal(vectors, rank, seed), {"rank": rank}

    def encode(self, vectors: FloatArray) -> Arrays:
        """``codes`` (n, rank) float16."""
        return {"codes": half(self.queries(vectors), what=self.name)}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        return codes["codes"][rows].astype(np.float32)
