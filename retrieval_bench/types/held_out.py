"""What a source's corpus lacks since it was taken out to ask with, so that it can be put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.types.data import Corpus, IntArray
from retrieval_bench.types.ids import RowIds


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Documents that were taken out of a corpus of n + h to ask with.

    Attributes:
        places: (h,) int64, ascending: where they stood among all n + h.
        documents: the h documents, with the ids that they have in the source.
    """

    places: IntArray
    documents: Corpus

    def __post_init__(self) -> None:
        if self.places.shape != (len(self.documents),):
            raise DataError(f"held out: {len(self.documents)} documents at {self.places.shape} places")

    def __len__(self) -> int:
        return len(self.documents)

    def before(self, place: int) -> HeldOut | None:
        """Those that stood before a place; None where there are none."""
        count = int(np.searchsorted(self.places, place))
        held = self.documents
        documents = Corpus(
            ids=held.ids[:count],
            texts=None if held.texts is None else held.texts[:count],
            vectors=None if held.vectors is None else held.vectors[:count],
        )
        return HeldOut(places=self.places[:count], documents=documents) if count else None

    def put_back(self, kept: Corpus) -> Corpus:
        """All n + h documents in the order of the source, as a new corpus in memory.

        Args:
            kept: the n others; these and those held out both have texts, or neither, and likewise vectors.
        """
        stays = np.ones(len(kept) + len(self), bool)
        stays[self.places] = False
        vectors = None
        if kept.vectors is not None:
            vectors = np.empty((len(stays), kept.dim), kept.vectors.dtype)
            vectors[stays], vectors[self.places] = kept.vectors, self.documents.require_vectors()
        order = np.empty(len(stays), np.int64)  # of each place, the row in kept or, counted on, in those held out
        order[stays], order[self.places] = np.arange(len(kept)), len(kept) + np.arange(len(self))
        texts = None
        if kept.texts is not None:
            texts = _ordered([*kept.texts, *self.documents.require_texts()], order)
        return replace(
            kept,
            ids=_all_ids(kept.ids, self.documents.ids, order),
            texts=texts,
            titles=None,
            vectors=vectors,
            id_places=None,
        )


def _all_ids(kept: Sequence[str], held: Sequence[str], order: IntArray) -> Sequence[str]:
    if isinstance(kept, RowIds) and isinstance(held, RowIds):
        return RowIds.of(np.concatenate([kept.rows(), held.rows()])[order])
    return _ordered([*kept, *held], order)


def _ordered(values: list[str], order: IntArray) -> list[str]:
    return [values[row] for row in order]
