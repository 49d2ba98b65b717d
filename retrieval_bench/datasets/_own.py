"""Queries that are themselves documents (ArguAna, Quora): which row of the corpus is the query's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from retrieval_bench.types import Corpus, Dataset, IntArray, Qrels, Queries


def mark_own(dataset: Dataset, *, declared: bool) -> Dataset:
    """The data with the own document of each query marked, and a note in ``meta`` where the test has such queries.

    Args:
        dataset: with the queries that will be asked.
        declared: the card's ``queries_are_documents``.
    """
    queries = {
        split: replace(part, own_rows=own_rows(dataset.corpus, part, dataset.qrels.get(split), declared=declared))
        for split, part in dataset.queries.items()
    }
    own = queries["test"].own_rows
    if own is None:
        return replace(dataset, queries=queries)
    note = f"the own documents of {(own >= 0).sum()} of {len(own)} test queries are left out of their results"
    return replace(dataset, queries=queries, meta={**dataset.meta, "own documents": note})


def own_rows(corpus: Corpus, queries: Queries, qrels: Qrels | None, *, declared: bool) -> IntArray | None:
    """Find each query's own document.

    Ids alone do not tell, as many sets number both documents and queries from 1; so the query must be the text of the
    document of the same id, its title or both, white space aside. A document that is judged relevant to the query is
    an answer, not the query itself. Where the card declares that queries are documents, equal ids suffice.

    Args:
        corpus: n documents.
        queries: m queries.
        qrels: judgments of these queries, where there are any.
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
        if row is not None and (declared or (_is_text(queries, i, corpus, row) and not _relevant(qrels, i, row))):
            own[i] = row
    return own if (own >= 0).any() else None


def _is_text(queries: Queries, i: int, corpus: Corpus, row: int) -> bool:
    if queries.texts is None or corpus.texts is None:
        return False
    asked, whole = _collapsed(queries.texts[i]), _collapsed(corpus.texts[row])
    title = "" if corpus.titles is None else _collapsed(corpus.titles[row])
    return asked in (whole, title, whole.removeprefix(title).strip())


def _relevant(qrels: Qrels | None, i: int, row: int) -> bool:
    if qrels is None:
        return False
    judged = slice(qrels.offsets[i], qrels.offsets[i + 1])
    return bool((qrels.grades[judged][qrels.rows[judged] == row] > 0).any())


def _collapsed(text: str) -> str:
    return " ".join(text.split())
