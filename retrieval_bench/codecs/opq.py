"""Optimized product quantization: a learned rotation, to fewer dimensions where that pays, before the parts."""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import registered
from retrieval_bench.codecs._basis import HALF, components, half
from retrieval_bench.codecs._codebooks import configure, trainable_bits, training_sample
from retrieval_bench.codecs._plan import first_fitting, lost, ranks, variances
from retrieval_bench.codecs._product import Parts, ProductCodec, cuts
from retrieval_bench.types import FloatArray

_ROUNDS = 6  # of rotation and codebooks by turns
_LONG = 32  # parts from which on that gains nothing over the closed form
_ROWS_BITS = 6  # the rotation is learned from as many rows as 2^6 codewords would be


@registered.register("opq")
class Opq(ProductCodec):
    """Ge, He, Ke and Sun 2013: the closed form for Gaussians, then rotation and codebooks by turns.

    The rotation is a table of its own, which small collections feel.
    """

    name = "opq"

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
        layouts = [parts for rank in ranks(d) for parts in cuts(rank, trainable_bits(n))]
        layouts.sort(key=lambda p: lost(spread, p.rank, p.count * p.bits))
        parts = first_fitting(
            self.name, layouts, lambda p: p.cost(n) + HALF * d * p.rank, n=n, bytes_per_vector=bytes_per_vector
        )
        sample = training_sample(vectors, _ROWS_BITS, seed)
        rotation = _balanced(sample, parts, seed)
        for _ in range(_ROUNDS if parts.count < _LONG else 0):
            reduced = np.ascontiguousarray(sample @ rotation)
            quantizer = faiss.ProductQuantizer(parts.rank, parts.count, 4)
            configure(quantizer.cp, seed)
            quantizer.train(reduced)
            left, _, right = np.linalg.svd(sample.T @ quantizer.decode(quantizer.compute_codes(reduced)))
            rotation = left[:, : parts.rank] @ right
        self.tables = {"basis": half(rotation, what=self.name)}
        self._learn(self.queries(vectors), parts, seed)


def _balanced(vectors: FloatArray, parts: Parts, seed: int) -> FloatArray:
    """(d, rank) principal components dealt out so that all parts have like products of variances (section 4.2)."""
    basis = components(vectors, parts.rank, seed).database
    logs = np.log(np.maximum((vectors @ basis).var(axis=0, dtype=np.float64), np.finfo(np.float32).tiny))
    width = parts.rank // parts.count
    dealt: list[list[int]] = [[] for _ in range(parts.count)]
    for component in range(parts.rank):
        open_parts = [part for part in dealt if len(part) < width]
        min(open_parts, key=lambda part: float(logs[part].sum())).append(component)
    return basis[:, [component for part in dealt for component in part]]
