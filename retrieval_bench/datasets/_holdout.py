"""Queries for a source that has none: rows held out of it, drawn with a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from retrieval_bench.types import Corpus, HeldOut, IntArray, Queries, RowIds

_MOST = 1000  # queries in a part: enough for a recall to three digits


def hold_out(n: int, parts: int, *, seed: int = 0) -> list[IntArray]:
    """Draw ``parts`` disjoint sets of ``min(1000, n // 10)`` of n rows.

    Returns:
        ``parts + 1`` sorted int64 arrays: the rows that stay, then each part. Parts are empty when n < 10.
    """
    size = min(_MOST, n // 10)
    drawn = np.random.default_rng(seed).choice(n, parts * size, replace=False).astype(np.int64)
    stays = np.ones(n, bool)
    stays[drawn] = False
    return [np.flatnonzero(stays).astype(np.int64), *(np.sort(part) for part in drawn.reshape(parts, size))]


def taken_out(corpus: Corpus, rows: Mapping[str, IntArray]) -> tuple[Corpus, dict[str, Queries], HeldOut]:
    """Take documents out of a corpus to ask with; all keep the ids that they have in it.

    Args:
        corpus: n documents, without titles.
        rows: by split, the rows of its queries; no row twice.

    Returns:
        The documents that stay, in order; the queries by split; all documents taken out, with their places.
    """
    stays = np.ones(len(corpus), bool)
    for part in rows.values():
        stays[part] = False
    places = np.flatnonzero(~stays)
    asked = {split: _part(corpus, part) for split, part in rows.items()}
    queries = {s: Queries(ids=[*p.ids], texts=p.texts, vectors=p.vectors, split=s) for s, p in asked.items()}
    return _part(corpus, np.flatnonzero(stays)), queries, HeldOut(places=places, documents=_part(corpus, places))


def _part(corpus: Corpus, rows: IntArray) -> Corpus:
    return Corpus(
        ids=corpus.ids.take(rows) if isinstance(corpus.ids, RowIds) else _taken(corpus.ids, rows),
        texts=None if corpus.texts is None else _taken(corpus.texts, rows),
        vectors=None if corpus.vectors is None else corpus.vectors[rows],
    )


def _taken(values: Sequence[str], rows: IntArray) -> list[str]:
    return [values[row] for row in rows]
