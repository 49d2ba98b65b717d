"""Product quantization of vectors that are in the working space already."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._base import Arrays, Codec, Rows
from retrieval_bench.codecs._basis import HALF, half
from retrieval_bench.codecs._bits import packed_bytes, unpack
from retrieval_bench.codecs._codebooks import concatenated, configure, training_sample
from retrieval_bench.types import FloatArray

_MOST_BITS = 4  # for one dimension


@dataclass(frozen=True)
class Parts:
    """How ``rank`` dimensions are cut: into ``count`` parts, each one of 2^bits codewords."""

    rank: int
    count: int
    bits: int

    def cost(self, n: int) -> int:
        """Bytes of n codes and of the codebooks."""
        return n * packed_bytes(self.count, self.bits) + HALF * self.rank * (1 << self.bits)


def cuts(rank: int, bits: list[int]) -> list[Parts]:
    """All ways to cut ``rank`` dimensions evenly, those that tell more first; of equals, those of larger codebooks.

    More than four bits for a dimension are left to the scalar codecs, which need no codebooks for that.
    """
    parts = [count for count in range(1, rank + 1) if rank % count == 0]
    found = [Parts(rank, count, b) for count in parts for b in bits if count * b <= max(_MOST_BITS * rank, b)]
    return sorted(found, key=lambda p: (-p.count * p.bits, -p.bits))


class ProductCodec(Codec):
    """Base of PQ and OPQ, which differ in the basis before the parts."""

    def _learn(self, reduced: FloatArray, parts: Parts, seed: int) -> None:
        """Add the table ``codebooks`` (count, 2^bits, rank / count)."""
        quantizer = faiss.ProductQuantizer(parts.rank, parts.count, parts.bits)
        configure(quantizer.cp, seed)
        quantizer.train(training_sample(reduced, parts.bits, seed))
        words: npt.NDArray[np.float32] = faiss.vector_to_array(quantizer.centroids)
        shape = (parts.count, 1 << parts.bits, parts.rank // parts.count)
        self.tables["codebooks"] = half(words.reshape(shape), what=self.name)
        self.facts = {"rank": parts.rank, "bits": parts.bits}

    def encode(self, vectors: FloatArray) -> Arrays:
        """``codes`` (n, bytes) uint8: the nearest word of each part, of the codebooks as they are kept."""
        books = self.tables["codebooks"]
        quantizer = faiss.ProductQuantizer(self.facts["rank"], len(books), self.facts["bits"])
        faiss.copy_array_to_vector(books.astype(np.float32).ravel(), quantizer.centroids)
        return {"codes": quantizer.compute_codes(np.ascontiguousarray(self.queries(vectors)))}

    def decode(self, codes: Arrays, rows: Rows) -> FloatArray:
        """See Codec."""
        books = self.tables["codebooks"]
        return concatenated(books, unpack(codes["codes"][rows], self.facts["bits"], len(books)))
