"""Collections, questions, judgments and answers: frozen, keyword-only, with shapes and units.

Constructors check structure (shapes, dtypes, lengths). Checks that read every value (NaN, duplicate
ids) live in ``checks`` and run once, where data enters, so that child processes need not repeat them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import DataError
from retrieval_bench.types.records import EncoderInfo

if TYPE_CHECKING:
    from retrieval_bench.types.held_out import HeldOut

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Metric = Literal["ip", "l2", "cos"]
"""``ip``: inner product. ``l2``: Euclidean. ``cos``: rows are normalised once, where data enters, then ``ip``.

``frame.Frame`` does that, and moves and scales vectors that float32 arithmetic cannot compare as they are."""
Split = Literal["train", "tune", "test"]


def _check_columns(what: str, ids: Sequence[str], texts: Sequence[str] | None, vectors: FloatArray | None) -> None:
    if texts is not None and len(texts) != len(ids):
        raise DataError(f"{what}: {len(ids)} ids but {len(texts)} texts")
    if vectors is not None:
        if vectors.ndim != 2 or vectors.dtype not in (np.float32, np.float64):
            raise DataError(f"{what}: vectors must be float32 of shape (n, d), not {vectors.dtype} {vectors.shape}")
        if len(vectors) != len(ids):
            raise DataError(f"{what}: {len(ids)} ids but {len(vectors)} vectors")


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """What is searched.

    Attributes:
        ids: n external ids: those of the source, or its rows (see RowIds), whatever was left out of it.
        texts: n texts, or None for a collection of vectors only.
        titles: n titles, empty where there is none, each the beginning of its text; None where they are not known.
        vectors: (n, d) float32, possibly memory-mapped, or None before encoding. A reader gives float64 where the file
            has it; indexes get float32 (see ``frame``).
        encoder: what made the vectors of the texts; None where they were given as data.
        id_places: (n,) int32 place of each id in the order of their UTF-8 bytes, where it was worked out beforehand
            (``quality.id_places``): by it equal scores are judged.
    """

    ids: Sequence[str]
    texts: Sequence[str] | None = None
    vectors: FloatArray | None = None
    titles: Sequence[str] | None = None
    encoder: EncoderInfo | None = None
    id_places: npt.NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        _check_columns("corpus", self.ids, self.texts, self.vectors)
        if self.titles is not None and len(self.titles) != len(self.ids):
            raise DataError(f"corpus: {len(self.ids)} ids but {len(self.titles)} titles")
        if self.id_places is not None and len(self.id_places) != len(self.ids):
            raise DataError(f"corpus: {len(self.ids)} ids but {len(self.id_places)} places of them")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """Number of dimensions d; 0 when there are no vectors."""
        return 0 if self.vectors is None else int(self.vectors.shape[1])

    def require_vectors(self) -> FloatArray:
        """The vectors; raises DataError when the corpus was not encoded."""
        if self.vectors is None:
            raise DataError("this corpus has no vectors: encode its texts first (--encoder)")
        return self.vectors

    def require_texts(self) -> Sequence[str]:
        """The texts; raises DataError when the corpus has vectors only."""
        if self.texts is None:
            raise DataError("this corpus has no texts: text rankers cannot run on it, use --index")
        return self.texts


@dataclass(frozen=True, kw_only=True)
class Queries:
    """What is asked, in one split.

    Attributes:
        ids: m external ids.
        texts: m texts or None.
        vectors: (m, d) float32 or None.
        encoder: what made the vectors of the texts; None where they were given as data.
        split: which split these queries belong to.
        own_rows: (m,) int64 corpus row that *is* the query (sets such as ArguAna), -1 where there is none.
            That document is taken out of a query's hits before they are judged.
    """

    ids: Sequence[str]
    texts: Sequence[str] | None = None
    vectors: FloatArray | None = None
    split: str = "test"
    own_rows: IntArray | None = None
    encoder: EncoderInfo | None = None

    def __post_init__(self) -> None:
        _check_columns("queries", self.ids, self.texts, self.vectors)
        if self.own_rows is not None and self.own_rows.shape != (len(self.ids),):
            raise DataError(f"queries: own_rows has shape {self.own_rows.shape}, not ({len(self.ids)},)")

    def __len__(self) -> int:
        return len(self.ids)

    def require_vectors(self) -> FloatArray:
        """The vectors; raises DataError when the queries were not encoded."""
        if self.vectors is None:
            raise DataError("these queries have no vectors: encode their texts first")
        return self.vectors

    def require_texts(self) -> Sequence[str]:
        """The texts; raises DataError when the queries have vectors only."""
        if self.texts is None:
            raise DataError("these queries have no texts: a text ranker cannot answer them")
        return self.texts

    def take(self, rows: slice | IntArray) -> Queries:
        """The queries of these rows, as views where ``rows`` is a slice."""
        indices = range(len(self.ids))[rows] if isinstance(rows, slice) else [int(i) for i in rows]
        return Queries(
            ids=[self.ids[i] for i in indices],
            texts=None if self.texts is None else [self.texts[i] for i in indices],
            vectors=None if self.vectors is None else self.vectors[rows],
            split=self.split,
            own_rows=None if self.own_rows is None else self.own_rows[rows],
            encoder=self.encoder,
        )


@dataclass(frozen=True, kw_only=True)
class Qrels:
    """Judgments of one split, aligned with its Queries, in compressed rows.

    Judgments of query i are ``rows[offsets[i]:offsets[i+1]]`` with ``grades[...]``; rows are unique per query.

    Attributes:
        offsets: (m + 1,) int64.
        rows: (j,) int64 corpus rows; those from n on are judged documents that the corpus of n lacks, never found.
        grades: (j,) int64 relevance; > 0 is relevant, <= 0 is judged and not relevant.
    """

    offsets: IntArray
    rows: IntArray
    grades: IntArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, queries: slice | IntArray) -> Qrels:
        """The judgments of these queries, in this order."""
        chosen = np.arange(len(self))[queries]
        counts = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        places = np.repeat(self.offsets[chosen] - offsets[:-1], counts) + np.arange(offsets[-1])
        return Qrels(offsets=offsets, rows=self.rows[places], grades=self.grades[places])


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What a method may learn from: questions that are never those reported, and judgments of them where there are any.

    Attributes:
        queries: of the split ``train``.
        qrels: aligned with the queries, or None.
    """

    queries: Queries
    qrels: Qrels | None = None


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Answers to m queries, best first.

    Attributes:
        rows: (m, k) int64 corpus rows; -1 pads a short answer, always at its end.
        scores: (m, k) float32, higher is better (for l2: minus the squared distance); -inf where padded.
            Equal scores stand in ascending order of row.
    """

    rows: IntArray
    scores: FloatArray

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape != self.scores.shape:
            raise DataError(f"hits: rows {self.rows.shape} and scores {self.scores.shape} must be one (m, k)")

    def take(self, queries: slice | IntArray) -> Hits:
        """The answers to these queries, in this order."""
        return Hits(rows=self.rows[queries], scores=self.scores[queries])

    def first(self, k: int) -> Hits:
        """The best k hits of each answer."""
        return Hits(rows=self.rows[:, :k], scores=self.scores[:, :k])


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A corpus, its queries by split, and what is known about the right answers.

    Attributes:
        name: name of the card, or of the file.
        fingerprint: content hash of all below (hex).
        metric: how vectors compare. After preparation only ``ip`` or ``l2`` (see Metric).
        queries: by split; at least ``test``.
        qrels: by split; a split without judgments is absent. Aligned with ``queries[split]``.
        neighbors: by split, exact neighbors that came with the data (e.g. in the HDF5 file); may be absent.
        held_out: documents that were taken out of the corpus to ask with, where the source had no queries; else None.
        meta: facts for the report (licence, source, how it was made).
    """

    name: str
    fingerprint: str
    corpus: Corpus
    queries: Mapping[str, Queries]
    metric: Metric
    qrels: Mapping[str, Qrels] = field(default_factory=dict)
    neighbors: Mapping[str, Hits] = field(default_factory=dict)
    held_out: HeldOut | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
