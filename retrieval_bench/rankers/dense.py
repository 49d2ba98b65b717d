"""Dense retrieval: an encoder for the texts, any index backend for the vectors, cosine similarity between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from retrieval_bench import registry
from retrieval_bench.budgets import allowed_bytes
from retrieval_bench.encoders import encode_queries, encoded_by, load_encoder
from retrieval_bench.errors import ArtifactError, BudgetError, CardError
from retrieval_bench.protocols import Index
from retrieval_bench.rankers._pad import padded
from retrieval_bench.rankers._params_file import load_params, save_params
from retrieval_bench.specs import params as checked_params
from retrieval_bench.types import Budget, Corpus, Examples, FloatArray, Frozen, Hits, MemoryReport, Params, Queries


class DenseParams(Params):
    """Build parameters. What the index chooses by itself is filled in by the build."""

    encoder: str = Field(default="minilm", description="packaged name, local folder, or model of the Hugging Face hub")
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="of the encoder's weights")
    index: str = Field(default="flat", description="index backend")
    index_build: dict[str, Any] = Field(default_factory=dict, description="its build parameters")
    index_search: dict[str, Any] = Field(default_factory=dict, description="its search parameters")


class _Saved(Frozen):
    """What the folder of a saved ranker says of it: the encoder itself is not copied, but its revision is checked."""

    params: DenseParams
    documents: int
    encoder_revision: str


@registry.rankers.register("dense")
class Dense:
    """Queries are encoded when they are asked, which is part of the time of an answer; documents once, at the build."""

    name: ClassVar[str] = "dense"
    BuildParams: ClassVar[type[Params]] = DenseParams
    params: DenseParams

    def build(
        self, corpus: Corpus, params: DenseParams, budget: Budget, *, examples: Examples | None = None, seed: int = 0
    ) -> None:
        """Encode the texts, unless the corpus has this encoder's vectors already, and index the vectors.

        Args:
            corpus: vectors that were given as data must come from ``params.encoder``.
            params: the parameters of the index are checked against its backend's.
            budget: of the encoder and the index together.
            examples: their encoded questions train an index that learns from queries.
            seed: of the index.

        Raises:
            CardError: the index does not have such parameters, or cannot serve cosine similarity.
            DataError: vectors that were given are not of the encoder's dimension.
            BudgetError: the weights of the encoder leave no room for an index.
        """
        self._encoder = load_encoder(params.encoder, precision=params.precision)
        index = registry.indexes.get(params.index)()
        if "ip" not in index.metrics:
            raise CardError(f"dense: the index {params.index!r} does not serve the metric 'ip'")
        where = f"dense, parameters of the index {params.index!r}"
        wanted = checked_params(index.BuildParams, params.index_build, where=where)
        self._search = checked_params(index.SearchParams, params.index_search, where=where)
        left = _without_encoder(budget, len(corpus), self._encoder.nbytes)
        documents = encoded_by(self._encoder, corpus)
        documents = replace(documents, vectors=_unit(documents.require_vectors()))
        learn = None
        if examples is not None:
            asked = encoded_by(self._encoder, examples.queries)
            learn = replace(asked, vectors=_unit(asked.require_vectors()))
        index.build(documents, wanted, left, metric="ip", queries=learn, seed=seed)
        self._index: Index = index
        self._documents = len(corpus)
        self.params = params.model_copy(
            update={"precision": self._encoder.precision, "index_build": index.params.model_dump()}
        )

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k documents of greatest cosine similarity to each query."""
        vectors = _unit(encode_queries(self._encoder, queries.require_texts()))
        hits = self._index.search(replace(queries, vectors=vectors), min(k, self._documents), self._search)
        return padded(hits, k)

    @property
    def notes(self) -> list[str]:
        """What the encoder and the index say of how they ran."""
        return [*getattr(self._encoder, "notes", ()), *getattr(self._index, "notes", ())]

    def memory(self) -> MemoryReport:
        """Parts of the index, and the weights of the encoder, without which no query can be answered."""
        return MemoryReport(parts={**self._index.memory().parts, "encoder": self._encoder.nbytes})

    def save(self, folder: Path) -> None:
        """Write the index into a folder of its own; the encoder is named with its revision, not copied."""
        (folder / "index").mkdir()
        self._index.save(folder / "index")
        saved = _Saved(params=self.params, documents=self._documents, encoder_revision=self._encoder.revision)
        save_params(folder, saved)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote, and load the encoder.

        Raises:
            ArtifactError: the encoder of that name has other weights now, or the files cannot be read.
            UnavailableError: the encoder cannot be had on this machine.
        """
        saved = load_params(folder, _Saved)
        ranker = cls()
        ranker.params = saved.params
        ranker._documents = saved.documents
        ranker._encoder = load_encoder(saved.params.encoder, precision=saved.params.precision)
        if ranker._encoder.revision != saved.encoder_revision:
            raise ArtifactError(
                f"{folder}: was built with the encoder {saved.params.encoder!r} of revision {saved.encoder_revision}, "
                f"here it is {ranker._encoder.revision}: bring back that model, or build again"
            )
        backend = registry.indexes.get(saved.params.index)
        ranker._index = backend.load(folder / "index")
        ranker._search = checked_params(backend.SearchParams, saved.params.index_search, where=str(folder))
        return ranker


def _unit(vectors: FloatArray) -> FloatArray:
    """Rows of length 1: the same array where they are, zero rows (texts without a direction) left as they are."""
    squares = np.einsum("nd,nd->n", vectors, vectors)
    if np.abs(squares - 1).max(initial=0) < 1e-5:
        return vectors
    lengths: FloatArray = np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))
    return vectors / lengths[:, None]


def _without_encoder(budget: Budget, n: int, encoder_bytes: int) -> Budget:
    """What the encoder leaves of the budget's bytes to the index."""
    allowed = allowed_bytes(budget, n)
    if allowed is None:
        return budget
    if allowed <= encoder_bytes:
        raise BudgetError(f"dense: the encoder's weights alone are {encoder_bytes} bytes; the budget allows {allowed}")
    return budget.model_copy(update={"index_bytes": allowed - encoder_bytes, "bytes_per_vector": None})
