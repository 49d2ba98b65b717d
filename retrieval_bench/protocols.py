"""What a plug-in is: the four protocols that backends, rankers, encoders and scorers implement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from retrieval_bench.types import (
    Budget,
    Corpus,
    Examples,
    FloatArray,
    Hits,
    IntArray,
    MemoryReport,
    Metric,
    Params,
    Queries,
)


class Index(Protocol):
    """A vector index: one class in one file, made with no arguments, then built or loaded.

    Attributes:
        name: the backend's registered name.
        BuildParams, SearchParams: its parameter models.
        metrics: which of ``ip`` and ``l2`` it serves. Data under ``cos`` arrives normalised, as ``ip``.
    """

    name: ClassVar[str]
    BuildParams: ClassVar[type[Params]]
    SearchParams: ClassVar[type[Params]]
    metrics: ClassVar[frozenset[str]]

    @property
    def params(self) -> Params:
        """The build parameters as used, every automatic (None) value filled in; known after build or load."""

    def build(
        self,
        corpus: Corpus,
        params: Any,
        budget: Budget,
        *,
        metric: Metric,
        queries: Queries | None = None,
        seed: int = 0,
    ) -> None:
        """Build the index.

        Args:
            corpus: its vectors (n, d) are indexed; checked and normalised beforehand, never written to.
            params: an instance of BuildParams.
            budget: limits that choose the automatic parameters; a build that cannot meet ``bytes_per_vector``
                or ``index_bytes`` raises BudgetError before any work.
            metric: ``ip`` or ``l2``.
            queries: training queries for methods that learn from them.
            seed: of every random choice.
        """

    def search(self, queries: Queries, k: int, params: Any) -> Hits:
        """The k best rows for each of ``queries.vectors`` (m, d), as Hits. May be called from several threads."""

    def memory(self) -> MemoryReport:
        """Analytic bytes by part of all that answering a query needs."""

    def save(self, folder: Path) -> None:
        """Write into an existing empty folder. Never pickle."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote."""


class Ranker(Protocol):
    """Text in, documents out: one class in one file, made with no arguments, then built or loaded."""

    name: ClassVar[str]
    BuildParams: ClassVar[type[Params]]

    @property
    def params(self) -> Params:
        """The build parameters as used; known after build or load."""

    def build(
        self, corpus: Corpus, params: Any, budget: Budget, *, examples: Examples | None = None, seed: int = 0
    ) -> None:
        """Index ``corpus.texts`` (and ``corpus.vectors`` where the ranker uses vectors of that encoder).

        Args:
            corpus: its texts are ranked.
            params: an instance of BuildParams.
            budget: limits that choose the automatic parameters.
            examples: for rankers that learn; a ranker that needs them raises DataError when there are none.
            seed: of every random choice.
        """

    def rank(self, queries: Queries, k: int) -> Hits:
        """The k best documents for each of ``queries.texts``, as Hits; encoding the query is part of it."""

    def memory(self) -> MemoryReport:
        """Analytic bytes by part of all that answering a query needs."""

    def save(self, folder: Path) -> None:
        """Write into an existing empty folder. Never pickle."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what save wrote."""


class Encoder(Protocol):
    """Text to vectors."""

    @property
    def name(self) -> str:
        """The name it was asked for by."""

    @property
    def revision(self) -> str:
        """Hash of the weights and settings: two encoders of one revision give the same vectors."""

    @property
    def dim(self) -> int:
        """Dimensions of its vectors."""

    def encode(self, texts: Sequence[str], *, progress: bool = False) -> FloatArray:
        """(len(texts), dim) float32, in the order given, not normalised unless the model does so."""


class Scorer(Protocol):
    """Scores pairs of texts, e.g. a cross-encoder: a black box that counts its own calls, one per pair.

    A scorer that can keep something of documents it will be asked about again may also have
    ``keep(documents) -> KeptDocuments`` and ``load_kept(folder) -> KeptDocuments``; for others their texts are kept.

    Attributes:
        name: the scorer's registered name.
        Settings: its parameter model.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[Params]]

    @classmethod
    def open(cls, settings: Any) -> Self:
        """The scorer with these settings (an instance of Settings), its model loaded."""

    @property
    def calls(self) -> int:
        """Pairs scored so far, by all threads. Count with ``scorers.Calls``, so that a budget of calls binds."""

    @property
    def revision(self) -> str:
        """Hash of weights and settings: two scorers of one revision give the same scores, up to rounding."""

    @property
    def nbytes(self) -> int:
        """Bytes of the weights as held in memory."""

    def score(self, query_texts: Sequence[str], document_texts: Sequence[str]) -> FloatArray:
        """(len(query_texts),) float32, one per pair; higher is better. May be called from several threads."""


class KeptDocuments(Protocol):
    """The documents of a corpus as one scorer keeps them, to be scored by row."""

    def ask(self, queries: Sequence[str]) -> Sequence[Callable[[IntArray], FloatArray]]:
        """Read queries once; the function of each scores it with documents, rows (r,) to (r,) float32: r calls."""

    def memory(self) -> MemoryReport:
        """Analytic bytes by part."""

    def save(self, folder: Path) -> None:
        """Write into an existing empty folder. Never pickle."""
