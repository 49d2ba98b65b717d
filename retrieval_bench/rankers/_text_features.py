"""What a learned ranker is told of a question and a document: lexical scores and counts, most of them as in LETOR.

Qin, Liu, Xu and Li, Information Retrieval 13 (2010).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import scipy.sparse as sp

from retrieval_bench.arrays import load_strings, save_strings
from retrieval_bench.errors import DataError
from retrieval_bench.rankers._analysis import term_maker, words
from retrieval_bench.rankers._postings import load_postings, save_postings
from retrieval_bench.types import FloatArray, IntArray

FEATURES = (
    "bm25", "bm25_steep", "query_likelihood", "tf_idf", "tf_sum", "tf_max", "idf_sum", "idf_max", "idf_mean",
    "matched", "matched_share", "matched_idf_share", "query_terms", "document_terms",
)  # fmt: skip
_BM25 = ((0.9, 0.4), (1.2, 0.75))  # k1 and b: Anserini's, and those of the textbooks
_MU = 1000.0  # weight of the collection's language model


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of n documents.

    Attributes:
        vocabulary: term to column.
        counts: (n, v) float32, how often each document holds each term.
    """

    vocabulary: dict[str, int]
    counts: sp.csr_matrix

    @classmethod
    def of(cls, texts: Sequence[str]) -> Terms:
        """Count Porter stems without stop words.

        Raises:
            DataError: no text holds a term.
        """
        term_of, vocabulary = term_maker("porter", "english"), dict[str, int]()
        known: dict[str, str] = {}  # each word is stemmed once
        columns: list[int] = []
        ends = [0]
        for text in texts:
            for word in words(text):
                if word not in known:
                    known[word] = term_of(word)
                if known[word]:
                    columns.append(vocabulary.setdefault(known[word], len(vocabulary)))
            ends.append(len(columns))
        if not vocabulary:
            raise DataError("no document holds a word besides stop words; there is nothing to learn from")
        ones = np.ones(len(columns), np.float32)
        counts = sp.csr_matrix((ones, np.array(columns), np.array(ends)), shape=(len(texts), len(vocabulary)))
        counts.sum_duplicates()
        return cls(vocabulary=vocabulary, counts=counts)

    @cached_property
    def lengths(self) -> FloatArray:
        """(n,) float32 terms of each document."""
        return np.asarray(self.counts.sum(axis=1), np.float32).ravel()

    @cached_property
    def holders(self) -> FloatArray:
        """(v,) float32 documents that hold each term."""
        return np.bincount(self.counts.indices, minlength=self.counts.shape[1]).astype(np.float32)

    @cached_property
    def shares(self) -> FloatArray:
        """(v,) float32 share of each term in the text of all documents: the language model of the collection."""
        occurrences = np.asarray(self.counts.sum(axis=0), np.float32).ravel()
        shares: FloatArray = occurrences / occurrences.sum()
        return shares

    @cached_property
    def _term_of(self) -> Callable[[str], str]:
        return term_maker("porter", "english")

    def features(self, query: str, rows: IntArray) -> FloatArray:
        """(len(rows), len(FEATURES)) float32 of a question and each of these documents."""
        asked = Counter(term for term in map(self._term_of, words(query)) if term)
        known = {self.vocabulary[term]: times for term, times in asked.items() if term in self.vocabulary}
        found = np.zeros((len(rows), len(FEATURES)), np.float32)
        lengths = self.lengths[rows]
        found[:, FEATURES.index("query_terms")] = len(asked)
        found[:, FEATURES.index("document_terms")] = np.log1p(lengths)
        if known and len(rows):
            columns, times = np.array(list(known)), np.array(list(known.values()), np.float32)
            tf = self.counts[rows][:, columns].toarray()
            found[:, : FEATURES.index("query_terms")] = self._matches(tf, columns, times, lengths, len(asked))
        return found

    def _matches(
        self, tf: FloatArray, columns: IntArray, times: FloatArray, lengths: FloatArray, asked: int
    ) -> FloatArray:
        """The features that depend on the terms in common, in the order of FEATURES."""
        n, mean, length = self.counts.shape[0], self.lengths.mean(), lengths[:, None]
        idf = np.log(1 + (n - self.holders[columns] + 0.5) / (self.holders[columns] + 0.5))
        there, weight = tf > 0, idf * times
        bm25 = [(weight * tf / (tf + k1 * (1 - b + b * length / mean))).sum(axis=1) for k1, b in _BM25]
        smoothed = np.log1p(tf / (_MU * self.shares[columns])) + np.log(_MU / (length + _MU))
        likelihood = (np.where(there, np.maximum(smoothed, 0), 0) * times).sum(axis=1)
        matched = there.sum(axis=1)
        idf_sum = (idf * there).sum(axis=1)
        columns_of_features = [
            *bm25, likelihood, (idf * np.log1p(tf)).sum(axis=1), tf.sum(axis=1), tf.max(axis=1),
            idf_sum, (idf * there).max(axis=1), idf_sum / np.maximum(matched, 1),
            matched, matched / asked, idf_sum / idf.sum(),
        ]  # fmt: skip
        return np.stack(columns_of_features, axis=1).astype(np.float32)

    @property
    def nbytes(self) -> dict[str, int]:
        """Bytes held, by part."""
        held = sys.getsizeof(self.vocabulary)
        held += sum(sys.getsizeof(term) + sys.getsizeof(number) for term, number in self.vocabulary.items())
        arrays = self.counts.data.nbytes + self.counts.indices.nbytes + self.counts.indptr.nbytes
        return {"term_counts": arrays, "term_vocabulary": held}

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        save_postings(folder, self.counts)
        save_strings(folder, "terms", list(self.vocabulary))

    @classmethod
    def load(cls, folder: Path, documents: int) -> Self:
        """Read what save wrote of so many documents.

        Raises:
            ArtifactError: a file is missing, or the files do not fit each other.
        """
        terms = load_strings(folder, "terms")
        counts = sp.csr_matrix(tuple(load_postings(folder, documents, len(terms))), shape=(documents, len(terms)))
        return cls(vocabulary={term: number for number, term in enumerate(terms)}, counts=counts)
