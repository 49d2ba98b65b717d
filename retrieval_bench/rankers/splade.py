"""Learned sparse retrieval: a SPLADE encoder gives weights to vocabulary words, an inverted index multiplies them.

Formal, Piwowarski and Clinchant, SIGIR 2021 (arXiv 2107.05720); v2: arXiv 2109.10086.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from retrieval_bench.encoders.sparse import SparseTextEncoder
from retrieval_bench.errors import ArtifactError
from retrieval_bench.hits import make_hits
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.rankers._postings import load_postings, save_postings
from retrieval_bench.rankers._top import top_rows
from retrieval_bench.registry import rankers
from retrieval_bench.types import Budget, Corpus, Examples, Frozen, Hits, MemoryReport, Params, Queries

_BLOCK = 64  # queries scored together: bounds the memory of their scores


class SpladeParams(Params):
    """Build parameters."""

    model: str = Field(
        default="splade-tiny", description="packaged name, local folder, or SPLADE model of the Hugging Face hub"
    )
    max_length: int = Field(default=256, ge=3, le=8192, description="tokens kept of a text")
    document_words: int | None = Field(
        default=None, ge=1, description="words kept of a document, by weight; None is all that the model gives"
    )
    query_words: int | None = Field(default=None, ge=1, description="words kept of a query, by weight; None is all")


class _Saved(Frozen):
    params: SpladeParams
    documents: int
    encoder_revision: str


@rankers.register("splade")
class Splade:
    """A document scores the inner product of its words' weights and the query's; 0 is no hit."""

    name: ClassVar[str] = "splade"
    BuildParams: ClassVar[type[Params]] = SpladeParams
    params: SpladeParams

    def build(
        self,
        corpus: Corpus,
        params: SpladeParams,
        budget: Budget,  # noqa: ARG002 - what it weighs is known afterwards
        *,
        examples: Examples | None = None,  # noqa: ARG002 - comes trained
        seed: int = 0,  # noqa: ARG002 - chooses nothing
    ) -> None:
        """Encode the texts and index their words.

        Raises:
            UnavailableError, DataError: see SparseTextEncoder.
        """
        self.params = params
        self._encoder = SparseTextEncoder(params.model, max_length=params.max_length)
        documents = self._encoder.encode(corpus.require_texts(), most_words=params.document_words)
        self._documents = len(corpus)
        self._postings = documents.T.tocsr()  # a row per word, documents in ascending order

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k documents of greatest score; fewer, padded, where fewer share a word with the query."""
        texts = queries.require_texts()
        rows = np.full((len(texts), k), -1, np.int64)
        scores = np.full((len(texts), k), -np.inf, np.float32)
        asked = self._encoder.encode(texts, kind="query", most_words=self.params.query_words)
        for start in range(0, len(texts), _BLOCK):
            found = asked[start : start + _BLOCK] @ self._postings
            found.sort_indices()
            for i, (begin, end) in enumerate(zip(found.indptr[:-1], found.indptr[1:], strict=True), start):
                best, values = top_rows(found.indices[begin:end], found.data[begin:end], k)
                rows[i, : len(best)], scores[i, : len(best)] = best, values
        return make_hits(rows, scores)

    def memory(self) -> MemoryReport:
        """Postings and the weights of the encoder, without which no query can be answered."""
        held = {
            "weights": self._postings.data.nbytes,
            "rows": self._postings.indices.nbytes,
            "offsets": self._postings.indptr.nbytes,
        }
        return MemoryReport(parts={**held, "encoder": self._encoder.nbytes})

    def save(self, folder: Path) -> None:
        """Write the postings as .npy; the encoder is named with its revision, not copied."""
        save_postings(folder, self._postings)
        revision = self._encoder.revision
        save_params(folder, _Saved(params=self.params, documents=self._documents, encoder_revision=revision))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote, and load the encoder.

        Raises:
            ArtifactError: the model of that name has other weights now, or the files cannot be read.
            UnavailableError: the model cannot be had on this machine.
        """
        saved = load_params(folder, _Saved)
        ranker = cls()
        ranker.params, ranker._documents = saved.params, saved.documents
        ranker._encoder = SparseTextEncoder(saved.params.model, max_length=saved.params.max_length)
        if ranker._encoder.revision != saved.encoder_revision:
            raise ArtifactError(
                f"{folder}: was built with the model {saved.params.model!r} of revision {saved.encoder_revision}, "
                f"here it is {ranker._encoder.revision}: bring back that model, or build again"
            )
        postings = load_postings(folder, ranker._encoder.dim, saved.documents)
        ranker._postings = sp.csr_matrix(tuple(postings), shape=(ranker._encoder.dim, saved.documents))
        return ranker
