"""Late interaction: every token of the query looks for its best match among the document's (ColBERT, 2004.12832).

The tokens are read by any sentence encoder, query and document apart, so the vectors of documents can be kept. It is no
cross-encoder, but a scorer of pairs all the same, and fast enough to try methods that spend scorer calls.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from retrieval_bench.encoders import load_encoder
from retrieval_bench.errors import ArtifactError
from retrieval_bench.files import atomic_folder, home
from retrieval_bench.registry import scorers
from retrieval_bench.scorers._calls import Calls
from retrieval_bench.scorers._digest import digest
from retrieval_bench.scorers._token_store import Storage, TokenStore, principal_axes, quantized
from retrieval_bench.types import FloatArray, IntArray, MemoryReport, Params

_SHARD = 1024  # documents whose token vectors are held in float32 together
_SAMPLE = 256  # documents from whose tokens the principal axes are taken


class LateInteractionSettings(Params):
    """Settings; the vectors of documents are reduced and quantized only where they are kept."""

    encoder: str = Field(default="minilm", description="packaged name, local folder, or model of the Hugging Face hub")
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="of the encoder's weights")
    max_length: int = Field(default=64, ge=8, le=8192, description="tokens kept of a text")
    dim: int = Field(default=128, ge=1, description="principal axes that kept vectors are reduced to")
    storage: Storage = Field(default="int8", description="of kept vectors; int8 has a scale per vector")


@scorers.register("late_interaction")
class LateInteraction:
    """MaxSim over normalised token vectors, averaged over the query's tokens."""

    name: ClassVar[str] = "late_interaction"
    Settings: ClassVar[type[Params]] = LateInteractionSettings

    def __init__(self, settings: LateInteractionSettings) -> None:
        self.settings = settings
        self._encoder = load_encoder(settings.encoder, precision=settings.precision, max_length=settings.max_length)
        self._calls = Calls()

    @classmethod
    def open(cls, settings: LateInteractionSettings) -> Self:
        """Load the encoder.

        Raises:
            UnavailableError: it cannot be had.
            UsageError: it cannot read so many tokens.
        """
        return cls(settings)

    @property
    def calls(self) -> int:
        """Pairs scored so far."""
        return self._calls.total

    @property
    def revision(self) -> str:
        """Hash of the encoder's revision and the settings that change scores."""
        return digest(self._encoder.revision, f"dim={self.settings.dim} storage={self.settings.storage}")[:24]

    @property
    def nbytes(self) -> int:
        """Bytes of the encoder's weights."""
        return self._encoder.nbytes

    def score(self, query_texts: Sequence[str], document_texts: Sequence[str]) -> FloatArray:
        """(len(query_texts),) float32 in [-1, 1], from whole vectors of texts that are read anew."""
        asked = dict.fromkeys(query_texts)
        of_query = dict(zip(asked, self.tokens(list(asked), queries=True), strict=True))
        documents = self.tokens(document_texts)
        self._calls.add(len(document_texts))
        return np.array(
            [
                (of_query[query] @ found.T).max(axis=1).mean()
                for query, found in zip(query_texts, documents, strict=True)
            ],
            np.float32,
        )

    def tokens(self, texts: Sequence[str], *, queries: bool = False, progress: bool = False) -> list[FloatArray]:
        """Vectors of length 1 of every text's tokens, (tokens, d) float32 each."""
        vectors, starts = self._encoder.encode_tokens(texts, queries=queries, progress=progress)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return [vectors[begin:end] for begin, end in itertools.pairwise(starts)]

    def keep(self, documents: Sequence[str]) -> TokenDocuments:
        """Read the documents, or find their vectors in the cache below ``$RETRIEVAL_BENCH_HOME``."""
        folder = home() / "tokens" / self.revision / digest(documents)
        if folder.is_dir():
            return TokenDocuments(self, TokenStore.load(folder))
        store = self._read(documents)
        with atomic_folder(folder) as new:
            store.save(new)
        return TokenDocuments(self, store)

    def load_kept(self, folder: Path) -> TokenDocuments:
        """Read the documents that a ranker saved.

        Raises:
            ArtifactError: they are not there, or of another encoder.
        """
        store = TokenStore.load(folder)
        if len(store.projection) != self._encoder.dim:
            raise ArtifactError(
                f"{folder}: token vectors of {len(store.projection)} dimensions, not {self._encoder.dim}"
            )
        return TokenDocuments(self, store)

    def count(self, pairs: int) -> None:
        """Count calls made through kept documents."""
        self._calls.add(pairs)

    def _read(self, documents: Sequence[str]) -> TokenStore:
        sample = [documents[i] for i in range(0, len(documents), max(1, len(documents) // _SAMPLE))]
        axes = principal_axes(np.concatenate(self.tokens(sample)), min(self.settings.dim, self._encoder.dim))
        values, scales, lengths = [], [], [0]
        for start in range(0, len(documents), _SHARD):
            found = self.tokens(documents[start : start + _SHARD], progress=True)
            kept, scale = quantized(np.concatenate(found) @ axes, self.settings.storage)
            values.append(kept)
            scales += [] if scale is None else [scale]
            lengths += map(len, found)
        return TokenStore(
            np.concatenate(values), np.concatenate(scales) if scales else None, np.cumsum(lengths, dtype=np.int64), axes
        )


class TokenDocuments:
    """Documents as their token vectors; one query against all is a matrix product and a maximum by document.

    Attributes:
        store: the vectors.
    """

    def __init__(self, scorer: LateInteraction, store: TokenStore) -> None:
        self._scorer, self.store = scorer, store

    def ask(self, queries: Sequence[str]) -> list[Callable[[IntArray], FloatArray]]:
        """The functions that score each query with the documents of rows; the queries are read in batches."""
        return [partial(self._score, tokens) for tokens in self._scorer.tokens(queries, queries=True)]

    def _score(self, tokens: FloatArray, rows: IntArray) -> FloatArray:
        self._scorer.count(len(rows))
        return self.store.max_sim(tokens, rows)

    def memory(self) -> MemoryReport:
        """Bytes of the vectors."""
        return MemoryReport(parts=self.store.parts)

    def save(self, folder: Path) -> None:
        """Write the vectors."""
        self.store.save(folder)
