"""Dimension reduction alone: the leading principal components in full precision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import basis_bytes, principal
from retrieval_bench.codecs._plan import first_fitting
from retrieval_bench.types import FloatArray


@registered.register("pca")
class Pca(Codec):
    """Pearson 1901; what every quantizer of reduced vectors has to beat."""

    name = "pca"

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
            lambda r: 4 * n * r + basis_bytes(d, r),
            n=n,
            bytes_per_vector=bytes_per_vector,
        )
        self.tables, self.facts = principal(vectors, rank, seed), {"rank": rank}

    def encode(self, vectors: FloatArray) -> Arrays:
        """``codes`` (n, rank) float32."""
        return {"codes": np.ascontiguousarray(self.queries(vectors))}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        found: FloatArray = codes["codes"][rows]
        return found
