"""How far judgments reach: the share of answers that anyone judged, and what counting the others as wrong does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from retrieval_bench.quality import evaluate, mean
from retrieval_bench.types import IntArray, Qrels


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


def reach(rows: IntArray, qrels: Qrels, *, k: int = 10) -> Reach:
    """Measure nDCG@k and its dependence on documents that nobody judged.

    Args:
        rows: (m, depth) int64 answers, best first, -1 where padded; deeper than k, so that condensed lists fill up.
        qrels: of the same queries.
        k: depth of the metric.

    Raises:
        DataError: rows and qrels of different numbers of queries.
    """
    usual = evaluate(rows, qrels, [f"judged@{k}", f"nDCG@{k}"])
    condensed = evaluate(_condensed(rows, qrels), qrels, [f"nDCG@{k}"])
    return Reach(
        k=k, judged=mean(usual[f"judged@{k}"]), usual=mean(usual[f"nDCG@{k}"]), condensed=mean(condensed[f"nDCG@{k}"])
    )


def _condensed(rows: IntArray, qrels: Qrels) -> IntArray:
    result = np.full_like(rows, -1)
    for i, row in enumerate(rows):
        judged = row[np.isin(row, qrels.rows[qrels.offsets[i] : qrels.offsets[i + 1]]) & (row >= 0)]
        result[i, : len(judged)] = judged
    return result
