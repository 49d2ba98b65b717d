"""How far judgments reach: the share of answers that anyone judged, and what counting the others as wrong does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrieval_bench.quality import Ranking, evaluate, mean
from retrieval_bench.quality.lookup import locate
from retrieval_bench.types import Qrels


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Judged share and quality at one depth, as usual and with unjudged documents taken out of the ranking.

    Attributes:
        judged: mean share of the first k answers that have a judgment.
        usual: mean of the metric, an unjudged document counting as not relevant.
        condensed: its mean over condensed lists (Sakai 2007): an upper estimate, since it takes the unjudged to be as
            good as those judged below them.
    """

    k: int
    judged: float
    usual: float
    condensed: float

    @property
    def bias(self) -> float:
        """Most that unjudged documents can be thought to cost."""
        return self.condensed - self.usual


def reach(ranking: Ranking, qrels: Qrels, *, k: int = 10) -> Reach:
    """Measure nDCG@k and its dependence on documents that nobody judged.

    Args:
        ranking: (m, depth) answers; deeper than k, so that condensed lists fill up.
        qrels: of the same queries.
        k: depth of the metric.

    Raises:
        DataError: ranking and qrels of different numbers of queries.
    """
    usual = evaluate(ranking, qrels, [f"judged@{k}", f"nDCG@{k}"])
    condensed = evaluate(_condensed(ranking, qrels), qrels, [f"nDCG@{k}"])
    return Reach(
        k=k, judged=mean(usual[f"judged@{k}"]), usual=mean(usual[f"nDCG@{k}"]), condensed=mean(condensed[f"nDCG@{k}"])
    )


def _condensed(ranking: Ranking, qrels: Qrels) -> Ranking:
    """Only the judged documents, in their order."""
    judged = locate(ranking.rows, qrels.offsets, qrels.rows) >= 0
    order = np.argsort(~judged, axis=1, kind="stable")
    rows = np.where(judged, ranking.rows, -1)
    scores = np.where(judged, ranking.scores, np.float32(-np.inf))
    return Ranking(rows=np.take_along_axis(rows, order, 1), scores=np.take_along_axis(scores, order, 1))
