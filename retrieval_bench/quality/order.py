"""The order in which answers are judged: trec_eval's, whatever order an engine gives to equal scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from retrieval_bench.errors import DataError
from retrieval_bench.types import Corpus, FloatArray, Hits, IntArray


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Answers to m queries as they are judged: score as float32, descending, then document id, descending.

    Ids compare by their UTF-8 bytes, so ``9`` stands before ``10``. Only ``ranked`` and ``score_run`` make rankings of
    answers, so nothing is judged in an order of an engine's own.

    Attributes:
        rows: (m, k) int64 corpus rows, -1 pads a short answer at its end.
        scores: (m, k) float32; -inf where padded.
    """

    rows: IntArray
    scores: FloatArray

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape != self.scores.shape:
            raise DataError(f"ranking: rows {self.rows.shape} and scores {self.scores.shape} must be one (m, k)")

    def take(self, queries: slice | IntArray) -> Ranking:
        """The answers to these queries, in this order."""
        return Ranking(rows=self.rows[queries], scores=self.scores[queries])


def id_places(ids: Sequence[str]) -> npt.NDArray[np.int32]:
    """(n,) the place of each id among all, in ascending order of their UTF-8 bytes, as trec_eval compares them."""
    order = pc.array_sort_indices(pa.array(list(ids), pa.large_string())).to_numpy()
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return places


def with_places(corpus: Corpus) -> Corpus:
    """The corpus with the places of its ids, for whoever judges answers from it many times."""
    return replace(corpus, id_places=_places(corpus))


def _places(corpus: Corpus) -> npt.NDArray[np.int32]:
    return id_places(corpus.ids) if corpus.id_places is None else corpus.id_places


def ranked(hits: Hits, corpus: Corpus, *, own_rows: IntArray | None = None, k: int | None = None) -> Ranking:
    """Put answers into the order in which they are judged.

    Args:
        hits: equal scores in any order.
        corpus: that was searched.
        own_rows: taken out, see ``without_own``.
        k: how many to keep; None is as many as there are.

    Raises:
        DataError: not one own row per query.
    """
    rows, scores = hits.rows, hits.scores
    real = rows >= 0
    loose = np.flatnonzero((real[:, 1:] & ~(scores[:, :-1] > scores[:, 1:])).any(axis=1))
    if len(loose):
        place = np.where(real[loose], _places(corpus)[np.maximum(rows[loose], 0)], -1)
        order = np.lexsort((-place, -scores[loose], ~real[loose]), axis=-1)
        rows, scores = rows.copy(), scores.copy()
        rows[loose] = np.take_along_axis(rows[loose], order, axis=1)
        scores[loose] = np.take_along_axis(scores[loose], order, axis=1)
    kept = without_own(Hits(rows=rows, scores=scores), own_rows, rows.shape[1] if k is None else k)
    return Ranking(rows=kept.rows, scores=kept.scores)


def is_own(rows: IntArray, own_rows: IntArray | None) -> npt.NDArray[np.bool_]:
    """(m, k) bool: which rows of the answers to m queries are the query's own document (``Queries.own_rows``).

    Raises:
        DataError: not one own row per query.
    """
    if own_rows is None:
        return np.zeros(rows.shape, bool)
    if own_rows.shape != (len(rows),):
        raise DataError(f"own rows of shape {own_rows.shape} do not go with the answers to {len(rows)} queries")
    own: npt.NDArray[np.bool_] = (rows == own_rows[:, None]) & (own_rows >= 0)[:, None]
    return own


def without_own(hits: Hits, own_rows: IntArray | None, k: int) -> Hits:
    """The best k hits of each answer after the query's own document is taken out (sets such as ArguAna).

    What reports, chooses or learns looks at answers through this, so that no document is judged as its own answer.

    Args:
        hits: answers of which k + 1 hits were asked for, so that k remain.
        own_rows: (m,) int64 row to take out, -1 where there is none (``Queries.own_rows``); None takes out nothing.
        k: how many to keep.

    Returns:
        Hits of shape (m, min(k, depth of hits)), padded at the end; views of ``hits`` when nothing is taken out.

    Raises:
        DataError: not one own row per query.
    """
    if own_rows is None:
        return hits.first(k)
    own = is_own(hits.rows, own_rows)
    affected = own.any(axis=1)
    order = np.argsort(own[affected], axis=1, kind="stable")  # False sorts first: the own document moves to the end
    rows, scores = hits.rows[:, :k].copy(), hits.scores[:, :k].copy()
    for kept, values, padding in ((rows, hits.rows, -1), (scores, hits.scores, -np.inf)):
        rest = np.where(own[affected], padding, values[affected])
        kept[affected] = np.take_along_axis(rest, order, axis=1)[:, :k]
    return Hits(rows=rows, scores=scores)
