"""Residual quantization: each codebook codes what those before it left."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows, registered
from retrieval_bench.codecs._basis import HALF, basis_bytes, half, principal
from retrieval_bench.codecs._bits import packed_bytes, unpack
from retrieval_bench.codecs._codebooks import configure, summed, trainable_bits, training_sample
from retrieval_bench.codecs._plan import first_fitting, lost, ranks, variances
from retrieval_bench.types import FloatArray

_COUNTS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)  # encoding grows with the square of it; more gain little
_BEAM, _LONG = 4, 32


@dataclass(frozen=True)
class _Layout:
    rank: int
    count: int
    bits: int

    def cost(self, n: int, d: int) -> int:
        words = HALF * self.count * (1 << self.bits) * self.rank
        return n * packed_bytes(self.count, self.bits) + words + basis_bytes(d, self.rank)


@registered.register("rq")
class Rq(Codec):
    """Chen, Guan and Wang 2010; beam search of codes as in faiss. Every codebook spans all dimensions."""

    name = "rq"

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
        layouts = [_Layout(r, m, bits) for r in ranks(d) for m in _COUNTS for bits in trainable_bits(n)]
        layouts.sort(key=lambda p: lost(spread, p.rank, p.count * p.bits))
        chosen = first_fitting(self.name, layouts, lambda p: p.cost(n, d), n=n, bytes_per_vector=bytes_per_vector)
        self.tables = principal(vectors, chosen.rank, seed)
        self.facts = {"rank": chosen.rank, "bits": chosen.bits}
        quantizer = self._quantizer(chosen.count)
        configure(quantizer.cp, seed)
        quantizer.max_beam_size = 1
        quantizer.train(training_sample(self.queries(vectors), chosen.bits, seed))
        words: npt.NDArray[np.float32] = faiss.vector_to_array(quantizer.codebooks)
        shape = (chosen.count, 1 << chosen.bits, chosen.rank)
        self.tables["codebooks"] = half(words.reshape(shape), what=self.name)

    def _quantizer(self, count: int) -> faiss.ResidualQuantizer:
        quantizer = faiss.ResidualQuantizer(self.facts["rank"], count, self.facts["bits"])
        quantizer.train_type = faiss.ResidualQuantizer.Skip_codebook_tables
        return quantizer

    def encode(self, vectors: FloatArray) -> Arrays:
        """``codes`` (n, bytes) uint8."""
        books = self.tables["codebooks"]
        quantizer = self._quantizer(len(books))
        quantizer.max_beam_size = _BEAM if len(books) <= _LONG else 1
        faiss.copy_array_to_vector(books.astype(np.float32).ravel(), quantizer.codebooks)
        quantizer.is_trained = True
        return {"codes": quantizer.compute_codes(np.ascontiguousarray(self.queries(vectors)))}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        books = self.tables["codebooks"]
        return summed(books, unpack(codes["codes"][rows], self.facts["bits"], len(books)))
