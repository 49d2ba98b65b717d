"""Queries that cannot be asked: left out with a note, so that one of them does not cost the results of the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.types import Dataset

# Keys of ``meta`` under which readers say what was left out or is lacking.
_NOTES = ("queries", "judgments", "own documents", "vectors", "held out")


def notes_of(dataset: Dataset) -> tuple[str, ...]:
    """What is not as its files have it or as one would expect, a line each, for whoever reads results on the data."""
    return tuple(dataset.meta[key] for key in _NOTES if key in dataset.meta)


def first_texts(rows: Iterable[tuple[str, str, str]]) -> tuple[dict[str, str], list[str]]:
    """Collect queries as id to text, in order; of several with one id the first is kept.

    Args:
        rows: place (file and line), id and text of each.

    Returns:
        The texts, and a note where a query was left out.
    """
    texts: dict[str, str] = {}
    repeated: list[str] = []
    for place, key, text in rows:
        if key not in texts:
            texts[key] = text
        else:
            said = "the same text" if text == texts[key] else "another text"
            repeated.append(f"{key!r} with {said} in {place}")
    if not repeated:
        return texts, []
    return texts, [f"of queries with one id the first is kept; left out: {listed(repeated)}"]


def without_blank(dataset: Dataset, *, source: str) -> Dataset:
    """The data without the queries that have no text, and a note of them in ``meta``; vectors alone stay as they are.

    Args:
        dataset: as its reader has it.
        source: to name in the error.

    Raises:
        DataError: no query of a split would be left.
    """
    dropped: dict[str, None] = {}
    queries, qrels, near = dict(dataset.queries), dict(dataset.qrels), dict(dataset.neighbors)
    for split, part in dataset.queries.items():
        kept = np.flatnonzero([bool(text.strip()) for text in part.texts or ()])
        if part.texts is None or len(kept) == len(part):
            continue
        if not len(kept):
            raise DataError(f"{source} ({split} queries): none of them has a text; there is nothing to ask")
        dropped.update(dict.fromkeys(repr(part.ids[row]) for row in np.setdiff1d(np.arange(len(part)), kept)))
        queries[split] = part.take(kept)
        if split in qrels:
            qrels[split] = qrels[split].take(kept)
        if split in near:
            near[split] = near[split].take(kept)
    if not dropped:
        return dataset
    notes = (dataset.meta.get("queries", ""), f"queries without a text are left out: {listed([*dropped])}")
    meta = {**dataset.meta, "queries": "; ".join(filter(None, notes))}
    return replace(dataset, queries=queries, qrels=qrels, neighbors=near, meta=meta)


def listed(items: list[str], *, most: int = 3) -> str:
    """The first of some items and how many more there are, for a note."""
    rest = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest
