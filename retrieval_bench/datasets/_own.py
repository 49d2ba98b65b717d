"""Queries that are themselves documents (ArguAna, Quora): which row of the corpus is the query's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieval_bench.types import Corpus, IntArray, Queries


def own_rows(corpus: Corpus, queries: Queries, *, declared: bool) -> IntArray | None:
    """Find each query's own document.

    Ids alone do not tell, as many sets number both documents and queries from 1; so the text of the query must stand
    within the text of the document of the same id, white space aside. Where the card declares that queries are
    documents, equal ids suffice.

    Args:
        corpus: n documents.
        queries: m queries.
        declared: the card's ``queries_are_documents``.

    Returns:
        (m,) int64 rows, -1 where there is none; None when no query has one.
    """
    if not declared and (corpus.texts is None or queries.texts is None):
        return None
    wanted = set(queries.ids)
    rows = {key: row for row, key in enumerate(corpus.ids) if key in wanted}
    own = np.full(len(queries), -1, np.int64)
    for i, key in enumerate(queries.ids):
        row = rows.get(key)
        if row is not None and (declared or _stands_in(queries.texts, i, corpus.texts, row)):
            own[i] = row
    return own if (own >= 0).any() else None


def _stands_in(query_texts: Sequence[str] | None, i: int, texts: Sequence[str] | None, row: int) -> bool:
    if query_texts is None or texts is None:
        return False
    return " ".join(query_texts[i].split()) in " ".join(texts[row].split())
