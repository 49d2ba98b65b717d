"""Product quantization: a word of a codebook for each part of the vector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import registered
from retrieval_bench.codecs._codebooks import trainable_bits
from retrieval_bench.codecs._plan import first_fitting
from retrieval_bench.codecs._product import ProductCodec, cuts
from retrieval_bench.types import FloatArray


@registered.register("pq")
class Pq(ProductCodec):
    """Jegou, Douze and Schmid 2011. As many parts as the bytes pay for; the dimensions are cut as they come."""

    name = "pq"

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
        layouts = cuts(d, trainable_bits(n))
        parts = first_fitting(self.name, layouts, lambda p: p.cost(n), n=n, bytes_per_vector=bytes_per_vector)
        self.tables = {}
        self._learn(vectors, parts, seed)
