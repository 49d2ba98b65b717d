"""BM25 as Lucene computes it: lengths kept in one byte, single precision, documents without terms not counted.

``org.apache.lucene.util.SmallFloat`` and ``org.apache.lucene.search.similarities.BM25Similarity`` of Lucene 9.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from retrieval_bench.types import FloatArray, IntArray

_EXACT = 24  # lengths below this are kept as they are: the byte has so many codes to spare


def rounded_lengths(lengths: IntArray) -> IntArray:
    """Lengths after Lucene's one byte (``SmallFloat.intToByte4``): four leading bits of what exceeds 24, cut off."""
    rest = np.maximum(lengths - _EXACT, 0)
    _, bits = np.frexp(rest.astype(np.float64))
    shift = np.maximum(bits.astype(np.int64) - 4, 0)
    return np.where(lengths < _EXACT, lengths, _EXACT + (rest >> shift << shift))


def lucene_gains(documents: Sequence[Sequence[int]], terms: int, *, k1: float, b: float) -> sp.csc_matrix:
    """What each term adds to the score of each document that holds it.

    Args:
        documents: n lists of term numbers.
        terms: how many terms there are.
        k1: as in BM25.
        b: as in BM25.

    Returns:
        (n, terms) float32, rows of each column in ascending order.
    """
    lengths = np.array([len(document) for document in documents], np.int64)
    ends = np.cumsum([0, *lengths])
    flat = np.fromiter((term for document in documents for term in document), np.int64, int(ends[-1]))
    # Repeated terms of a document are summed where its row becomes canonical.
    counts = sp.csr_matrix((np.ones(len(flat), np.float32), flat, ends), shape=(len(documents), terms))
    counts.sum_duplicates()
    postings = counts.tocsc()
    held = np.diff(postings.indptr)
    known = int((lengths > 0).sum())
    idf = np.log(1 + (known - held + 0.5) / (held + 0.5)).astype(np.float32)
    one, k, part = np.float32(1), np.float32(k1), np.float32(b)
    mean = np.float32(lengths.sum() / known)
    inverse: FloatArray = one / (k * ((one - part) + part * rounded_lengths(lengths).astype(np.float32) / mean))
    weight = np.repeat(idf, held)
    postings.data = weight - weight / (one + postings.data * inverse[postings.indices])
    return postings
