"""What Hits promise, checked for every answer that is measured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.types import Hits


class ContractError(RetrievalBenchError):
    """A plug-in does not do what its protocol promises."""


def check_hits(hits: Hits, queries: int, k: int, documents: int) -> None:
    """Refuse an answer that breaks a promise of Hits.

    Args:
        hits: the answer.
        queries: number of queries that were asked.
        k: number of hits that were asked for.
        documents: number of documents in the corpus.

    Raises:
        ContractError: names the promise and the first query for which it is broken.
    """
    rows, scores = hits.rows, hits.scores
    if rows.shape != (queries, k):
        raise ContractError(f"hits have the shape {rows.shape}; {queries} queries for k = {k} give ({queries}, {k})")
    if rows.dtype != np.int64 or scores.dtype != np.float32:
        raise ContractError(f"hits are {rows.dtype} rows and {scores.dtype} scores, not int64 and float32")
    padding = rows == -1
    _refuse((rows < -1) | (rows >= documents), f"a row outside 0 to {documents - 1} (or -1 for padding)", hits)
    _refuse(np.isnan(scores) | (scores == np.inf), "a score that is NaN or infinite", hits)
    _refuse(padding != (scores == -np.inf), "a padded row without the score -inf, or the reverse", hits)
    _refuse(padding[:, :-1] & ~padding[:, 1:], "a hit after padding", hits)
    _refuse(scores[:, :-1] < scores[:, 1:], "scores that do not descend", hits)
    ties = (scores[:, :-1] == scores[:, 1:]) & ~padding[:, 1:]
    _refuse(ties & (rows[:, :-1] > rows[:, 1:]), "equal scores that are not in ascending order of row", hits)
    ascending = np.sort(rows, axis=1)
    _refuse((ascending[:, :-1] == ascending[:, 1:]) & (ascending[:, 1:] >= 0), "the same row twice", hits)


def _refuse(broken: npt.NDArray[np.bool_], what: str, hits: Hits) -> None:
    if broken.any():
        query = int(np.argmax(broken.any(axis=1)))
        raise ContractError(
            f"the hits of query {query} hold {what}: rows {hits.rows[query, :10]}, scores {hits.scores[query, :10]} ..."
        )
