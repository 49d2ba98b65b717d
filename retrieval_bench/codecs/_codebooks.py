"""Codebooks in half precision, trained by faiss: what the product and the additive quantizers share.

faiss is needed to learn and to encode; decoding is a gather, so a loaded index does without it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval_bench.codecs._bits import Bytes
from retrieval_bench.types import FloatArray

ROUNDS = 8  # of k-means; later ones move the error by well under a percent
_ROWS_PER_CODEWORD = 64
_LEAST_ROWS_PER_CODEWORD = 4


def trainable_bits(n: int) -> list[int]:
    """The numbers of bits, best first, for whose codewords there are vectors to learn from."""
    return [bits for bits in (8, 4) if n >= _LEAST_ROWS_PER_CODEWORD << bits]


def training_sample(vectors: FloatArray, bits: int, seed: int) -> FloatArray:
    """Rows to learn 2^bits codewords from, contiguous; which ones depends on the seed only."""
    wanted = _ROWS_PER_CODEWORD << bits
    if len(vectors) > wanted:
        vectors = vectors[np.sort(np.random.default_rng(seed).choice(len(vectors), wanted, replace=False))]
    return np.ascontiguousarray(vectors)


def configure(clustering: Any, seed: int) -> None:
    """Settings of a faiss clustering: the seed decides, and every row it is given is used."""
    clustering.seed = seed % (1 << 31)
    clustering.niter = ROUNDS
    clustering.min_points_per_centroid = 1
    clustering.max_points_per_centroid = 1 << 30


def concatenated(codebooks: npt.NDArray[np.float16], numbers: Bytes) -> FloatArray:
    """(n, m) codeword numbers to (n, m * width) float32, one part from each of the (m, k, width) codebooks."""
    m, _, width = codebooks.shape
    found = np.empty((len(numbers), m, width), np.float32)
    words = codebooks.astype(np.float32)
    for part in range(m):
        found[:, part] = words[part][numbers[:, part]]
    return found.reshape(len(numbers), -1)


def summed(codebooks: npt.NDArray[np.float16], numbers: Bytes) -> FloatArray:
    """(n, m) codeword numbers to (n, width) float32, the sum of one word of each of the (m, k, width) codebooks."""
    words = codebooks.astype(np.float32)
    found = np.zeros((len(numbers), codebooks.shape[2]), np.float32)
    for part in range(len(codebooks)):
        found += words[part][numbers[:, part]]
    return found
