"""A collection of vectors put together: what the readers of all vector formats have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from retrieval_bench.checks import check_vectors
from retrieval_bench.datasets._given import given_hits
from retrieval_bench.datasets._holdout import hold_out, taken_out
from retrieval_bench.errors import DataError
from retrieval_bench.specs import DatasetCard
from retrieval_bench.types import Corpus, Dataset, FloatArray, HeldOut, Hits, Metric, Queries, RowIds

_WHOLE = 1 << 24  # float32 holds the integers to here


class Given(NamedTuple):
    """Neighbors that came with a query set: (m, k) corpus rows and, where known, (m, k) scores by our convention."""

    rows: npt.NDArray[np.generic]
    scores: npt.NDArray[np.floating] | None = None


def as_floats(array: npt.NDArray[np.generic], *, source: str) -> FloatArray:
    """The array itself when it is float32 or float64, else a copy: other numbers become float32.

    float64 stays until the vectors are framed (see ``frame``), which may need its digits; integers that float32 would
    round become float64.

    Raises:
        DataError: it does not hold real numbers in the shape (n, d).
    """
    if array.ndim != 2:
        raise DataError(f"{source}: vectors must have the shape (n, d), not {array.shape}")
    if array.dtype.kind not in "fiub":
        raise DataError(f"{source}: holds values of type {array.dtype}, not numbers")
    whole = array.dtype.kind != "f"
    narrow = array.dtype.itemsize <= (2 if whole else 4)
    if narrow or (whole and np.abs(array.astype(np.float64)).max(initial=0) <= _WHOLE):
        return array.astype(np.float32, copy=False)
    wide: FloatArray = array.astype(np.float64, copy=False)  # float32 once it is framed
    return wide


def vector_dataset(
    card: DatasetCard,
    *,
    source: str,
    metric: Metric,
    corpus: FloatArray,
    queries: Mapping[str, FloatArray],
    given: Mapping[str, Given] | None = None,
    ids: Sequence[str] | None = None,
    query_ids: Mapping[str, Sequence[str]] | None = None,
    texts: Sequence[str] | None = None,
    notes: Sequence[str] = (),
) -> Dataset:
    """Put a vector set together.

    A source without queries has ``test`` and ``tune`` queries held out of its corpus; one with training queries and
    none to tune on has ``tune`` queries held out of those. Documents and queries keep the ids, or the rows, of the
    source, whatever is held out.

    Args:
        card: names the data set.
        source: file or folder to name in errors.
        metric: how the vectors compare.
        corpus: (n, d) float32 or float64.
        queries: (m, d) likewise, by split; empty when the source has none.
        given: neighbors by split.
        ids: n ids, or None to call rows by their number.
        query_ids: ids of the queries by split, likewise.
        texts: n texts, or None.
        notes: on what is not as the source has it; they stand in ``meta``.

    Raises:
        DataError: dimensions differ, neighbors are wrong, or queries are to be held out of rows that are too few or
            cannot be served.
    """
    for split, vectors in queries.items():
        if vectors.shape[1] != corpus.shape[1]:
            raise DataError(
                f"{source}: {split} queries have {vectors.shape[1]} dimensions, the corpus has {corpus.shape[1]}"
            )
    hits = {}
    for split, neighbors in (given or {}).items():
        check_vectors(corpus, source=source, metric=metric)
        check_vectors(queries[split], source=f"{source} ({split} queries)", metric=metric)
        hits[split] = given_hits(
            corpus, queries[split], neighbors.rows, metric=metric, source=source, scores=neighbors.scores
        )
    documents = Corpus(ids=RowIds(len(corpus)) if ids is None else ids, texts=texts, vectors=corpus)
    named = query_ids or {}
    asked = {s: Queries(ids=named.get(s, RowIds(len(v))), vectors=v, split=s) for s, v in queries.items()}
    held_out = None
    if not asked:
        check_vectors(corpus, source=source, metric=metric)  # while its rows are those of the source
        documents, asked, held_out = _queries_from(documents, source)
    elif "train" in asked and "tune" not in asked:
        asked, hits = _tune_from_train(asked, hits)
    return Dataset(
        name=card.name,
        fingerprint="",
        corpus=documents,
        queries=asked,
        neighbors=hits,
        metric=metric,
        meta={"vectors": "; ".join(notes)} if notes else {},
        held_out=held_out,
    )


def _queries_from(corpus: Corpus, source: str) -> tuple[Corpus, dict[str, Queries], HeldOut]:
    _, test, tune = hold_out(len(corpus), 2)
    if not len(test):
        raise DataError(
            f"{source}: {len(corpus)} rows are too few to hold queries out of (10 at least); give a file of queries"
        )
    return taken_out(corpus, {"test": test, "tune": tune})


def _tune_from_train(queries: dict[str, Queries], hits: dict[str, Hits]) -> tuple[dict[str, Queries], dict[str, Hits]]:
    stays, tune = hold_out(len(queries["train"]), 1)
    if not len(tune):
        return queries, hits
    cut = {s: replace(queries["train"].take(rows), split=s) for s, rows in (("train", stays), ("tune", tune))}
    if "train" not in hits:
        return queries | cut, hits
    return queries | cut, hits | {"train": hits["train"].take(stays), "tune": hits["train"].take(tune)}
