"""Product-residual quantization: parts as in product quantization, each an additive code of several words."""

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

_WORDS = (2, 4, 8)  # of one part
_WIDTHS = (4, 8, 16, 32)  # dimensions of one part
_MOST_BITS = 4  # for one dimension: more are left to the scalar codecs
_BEAM = 2


@dataclass(frozen=True)
class _Layout:
    rank: int
    parts: int
    words: int
    bits: int

    def cost(self, n: int, d: int) -> int:
        books = HALF * self.words * (1 << self.bits) * self.rank
        return n * packed_bytes(self.parts * self.words, self.bits) + books + basis_bytes(d, self.rank)


@registered.register("prq")
class Prq(Codec):
    """Babenko and Lempitsky 2015 ("Tree quantization") as in faiss: additive codes at the price of product codes."""

    name = "prq"

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
        layouts = [
            _Layout(rank, rank // width, words, bits)
            for rank in ranks(d)
            for width in [w for w in _WIDTHS if rank % w == 0] or [rank]
            for words in _WORDS
            for bits in trainable_bits(n)
            if words * bits <= max(_MOST_BITS * width, _WORDS[0] * bits)
        ]
        layouts.sort(key=lambda p: lost(spread, p.rank, p.parts * p.words * p.bits))
        chosen = first_fitting(self.name, layouts, lambda p: p.cost(n, d), n=n, bytes_per_vector=bytes_per_vector)
        self.tables = principal(vectors, chosen.rank, seed)
        self.facts = {"rank": chosen.rank, "parts": chosen.parts, "bits": chosen.bits}
        width = chosen.rank // chosen.parts
        sample = training_sample(self.queries(vectors), chosen.bits, seed)
        books = []
        for part in range(chosen.parts):
            quantizer = faiss.ResidualQuantizer(width, chosen.words, chosen.bits)
            quantizer.train_type = faiss.ResidualQuantizer.Skip_codebook_tables
            quantizer.max_beam_size = 1
            configure(quantizer.cp, seed)
            quantizer.train(np.ascontiguousarray(sample[:, part * width : (part + 1) * width]))
            books.append(faiss.vector_to_array(quantizer.codebooks))
        shape = (chosen.parts, chosen.words, 1 << chosen.bits, width)
        self.tables["codebooks"] = half(np.stack(books).reshape(shape), what=self.name)

    def encode(self, vectors: FloatArray) -> Arrays:
        """``codes`` (n, parts, bytes of a part) uint8."""
        parts, words, _, width = self.tables["codebooks"].shape
        reduced = self.queries(vectors)
        codes = np.empty((len(vectors), parts, packed_bytes(words, self.facts["bits"])), np.uint8)
        for part in range(parts):
            quantizer = faiss.ResidualQuantizer(width, words, self.facts["bits"])
            quantizer.max_beam_size = _BEAM
            faiss.copy_array_to_vector(self.tables["codebooks"][part].astype(np.float32).ravel(), quantizer.codebooks)
            quantizer.is_trained = True
            codes[:, part] = quantizer.compute_codes(
                np.ascontiguousarray(reduced[:, part * width : (part + 1) * width])
            )
        return {"codes": codes}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        books, chosen = self.tables["codebooks"], codes["codes"][rows]
        width = books.shape[3]
        found = np.empty((len(chosen), self.facts["rank"]), np.float32)
        for part, words in enumerate(books):
            numbers = unpack(chosen[:, part], self.facts["bits"], len(words))
            found[:, part * width : (part + 1) * width] = summed(words, numbers)
        return found
