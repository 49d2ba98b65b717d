"""The judged questions that a ranker learns from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from retrieval_bench.errors import DataError
from retrieval_bench.quality.lookup import locate
from retrieval_bench.types import Examples, IntArray, Qrels, Queries


class Judged(NamedTuple):
    """Questions and judgments of them, aligned."""

    queries: Queries
    qrels: Qrels


def judged(examples: Examples | None, *, what: str, instead: str) -> Judged:
    """The examples, where they can be learned from.

    Raises:
        DataError: there are none, they have no texts or judgments, or no document is relevant.
    """
    if (
        examples is None
        or examples.queries.texts is None
        or examples.qrels is None
        or not (examples.qrels.grades > 0).any()
    ):
        raise DataError(
            f"{what} learns from judged questions, and there are none: use a data set with a split `train` or `tune`, "
            f"set some test queries apart (--tune-share 0.5), or {instead}"
        )
    return Judged(examples.queries, examples.qrels)


def grades_of(rows: IntArray, qrels: Qrels) -> IntArray:
    """(m, k) grades of the rows of hits, at least 0; unjudged documents and padding have 0."""
    place = locate(rows, qrels.offsets, qrels.rows)
    return np.where(place >= 0, np.maximum(qrels.grades[place], 0), 0)
