"""How far the order of equal scores can move a figure: between its worst and its best order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from retrieval_bench.quality.judged import BoolArray, Float64Array
from retrieval_bench.quality.lookup import locate
from retrieval_bench.quality.names import parse
from retrieval_bench.quality.order import Ranking
from retrieval_bench.quality.scoring import evaluate, mean
from retrieval_bench.types import IntArray, Qrels

TOLD = 5e-4
"""A figure that ties can move by more than this is given with its bounds."""


@dataclass(frozen=True, kw_only=True)
class TieBounds:
    """What other orders of equal scores would give.

    Attributes:
        metric: canonical name.
        low: the mean over queries with the worst order in every group of equal scores.
        high: with the best order.
        queries: in which the order changes the value.
        cut: of the queries, those whose equal scores go on to the end of a full answer within the cut of the metric.
            What lay beyond is not known, so the bounds are those of the documents that were returned.
    """

    metric: str
    low: float
    high: float
    queries: int
    cut: int

    @property
    def text(self) -> str:
        """The bounds in words."""
        unknown = f", {self.cut} of them cut amid equal scores, beyond which nothing is known" if self.cut else ""
        return f"{self.metric} {self.low:.4f} to {self.high:.4f} ({self.queries} queries{unknown})"


def tie_bounds(
    ranking: Ranking, qrels: Qrels, values: Mapping[str, Float64Array], *, complete: bool = False
) -> dict[str, TieBounds]:
    """Worst and best means of metrics over all orders of equal scores, for those metrics that ties move at all.

    Within a group of equal scores every metric here is best with the greatest gains first (by an exchange of two
    neighbors), and ``judged`` with the judged documents first.

    Args:
        ranking: of m queries.
        qrels: of the same queries.
        values: by metric what ``evaluate`` gave for this ranking.
        complete: nothing was cut off at the end of a full answer.

    Raises:
        DataError: as ``evaluate``.
    """
    tied = np.flatnonzero(_repeats(ranking).any(axis=1))
    if not len(tied):
        return {}
    some, judgments = ranking.take(tied), qrels.take(tied)
    place = locate(some.rows, judgments.offsets, judgments.rows)
    judged = (place >= 0).astype(np.int64)
    gains = judged * np.maximum(judgments.grades[place], 0) if len(judgments.grades) else judged
    by_judged = [name for name in values if parse(name).family == "judged"]
    worst, best = (
        evaluate(_reordered(some, sign * gains), judgments, [name for name in values if name not in by_judged])
        | evaluate(_reordered(some, sign * judged), judgments, by_judged)
        for sign in (1, -1)
    )
    bounds = {}
    for name, usual in values.items():
        differ = best[name] > worst[name]  # False where nothing is judged, which is NaN
        if differ.any():
            low, high = usual.copy(), usual.copy()
            low[tied], high[tied] = worst[name], best[name]
            cut = 0 if complete else int((differ & _open_ended(some, parse(name).cut)).sum())
            bounds[name] = TieBounds(metric=name, low=mean(low), high=mean(high), queries=int(differ.sum()), cut=cut)
    return bounds


def tie_note(bounds: Mapping[str, TieBounds]) -> str:
    """One sentence for a record; empty where no figure moves by more than ``TOLD``."""
    told = [found.text for found in bounds.values() if found.high - found.low > TOLD]
    if not told:
        return ""
    return f"equal scores stand by descending document id, as in trec_eval; other orders give {'; '.join(told)}."


def _repeats(ranking: Ranking) -> BoolArray:
    """(m, k - 1) whether a document has the score of the one before it."""
    repeats: BoolArray = (ranking.rows[:, 1:] >= 0) & (ranking.scores[:, 1:] == ranking.scores[:, :-1])
    return repeats


def _group(ranking: Ranking) -> IntArray:
    """(m, k) which group of equal scores each place belongs to, counted from 0; padding is a group of its own."""
    real = ranking.rows >= 0
    new = (ranking.scores[:, 1:] != ranking.scores[:, :-1]) | (real[:, 1:] != real[:, :-1])
    return np.concatenate([np.zeros((len(new), 1), np.int64), np.cumsum(new, axis=1)], axis=1)


def _reordered(ranking: Ranking, key: IntArray) -> Ranking:
    """Within each group of equal scores by ascending key."""
    order = np.lexsort((key, _group(ranking)), axis=-1)
    return Ranking(rows=np.take_along_axis(ranking.rows, order, axis=1), scores=ranking.scores)


def _open_ended(ranking: Ranking, cut: int | None) -> BoolArray:
    """(m,) whether an answer is full, and the group of its last two documents begins within the cut."""
    group = _group(ranking)
    begins = np.argmax(group == group[:, -1:], axis=1)
    within: BoolArray = begins < (group.shape[1] if cut is None else cut)
    return within & _repeats(ranking)[:, -1]
