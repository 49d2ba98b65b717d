"""A systematic review as data: its title, the records that a search gave, and which of them were included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from retrieval_bench.datasets._textset import title_and_text
from retrieval_bench.errors import DataError, RetrievalBenchError
from retrieval_bench.specs import DatasetCard
from retrieval_bench.types import Corpus, Dataset, Frozen, Qrels, Queries

Representation = Literal["title", "abstract", "title+abstract"]
OnError = Callable[[str, RetrievalBenchError], None]


class RepresentationOption(Frozen):
    """What of a record is searched."""

    representation: Representation = "title+abstract"


@dataclass(frozen=True, kw_only=True)
class Review:
    """One review with its n records.

    Attributes:
        name: of the data, e.g. ``Cohen_2006_ADHD``.
        topic: the review's title, which is the query; empty where it is not known, and nothing can be ranked.
        source: file or folder to name in errors.
        ids: n unique ids.
        titles: n texts.
        abstracts: n texts, empty where a record has none.
        included: (n,) bool, the decision; at least one is True.
        notes: on records that were left out, and what is lacking.
    """

    name: str
    topic: str
    source: str
    ids: Sequence[str]
    titles: Sequence[str]
    abstracts: Sequence[str]
    included: npt.NDArray[np.bool_]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.ids:
            raise DataError(f"{self.source}: holds no record")
        if not self.included.any():
            raise DataError(f"{self.source}: no record is included, so there is nothing to find; check the decisions")

    def __len__(self) -> int:
        return len(self.ids)

    def texts(self, representation: Representation) -> list[str]:
        """What is searched of each record; empty where it lacks that part."""
        if representation == "title":
            return list(self.titles)
        if representation == "abstract":
            return list(self.abstracts)
        return [title_and_text(*parts) for parts in zip(self.titles, self.abstracts, strict=True)]


@contextmanager
def telling(place: str, on_error: OnError | None) -> Iterator[None]:
    """Read one of several reviews; an error is told with its place, or raised where nobody wants to be told."""
    try:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{error.filename or place}: cannot be read ({error.strerror or error}); "
                "mend its permissions or get it again"
            ) from error
    except RetrievalBenchError as error:
        if on_error is None:
            raise
        on_error(place, error)


def review_dataset(card: DatasetCard, review: Review, representation: Representation) -> Dataset:
    """A review as a data set of one query, every record judged.

    Raises:
        DataError: it has no topic.
    """
    if not review.topic:
        raise DataError(f"{review.source}: {review.notes[-1]}")
    n = len(review)
    return Dataset(
        name=card.name,
        fingerprint="",
        corpus=Corpus(ids=review.ids, texts=review.texts(representation)),
        queries={"test": Queries(ids=["review"], texts=[review.topic])},
        qrels={
            "test": Qrels(
                offsets=np.array([0, n], np.int64),
                rows=np.arange(n, dtype=np.int64),
                grades=review.included.astype(np.int64),
            )
        },
        metric=card.metric or "cos",
        meta={
            "topic": review.topic,
            "included": str(int(review.included.sum())),
            **({"judgments": "; ".join(review.notes)} if review.notes else {}),
        },
    )
