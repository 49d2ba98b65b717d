"""What rankers that spend scorer calls share: how many they may spend, and hits from what they spent them on."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from retrieval_bench.errors import ArtifactError, BudgetError
from retrieval_bench.protocols import Scorer
from retrieval_bench.types import Budget, FloatArray, IntArray, Params

DEFAULT_CALLS = 100


class ScorerParams(Params):
    """The scorer of a ranker."""

    scorer: str = Field(default="late_interaction", description="scorer of pairs of texts")
    scorer_settings: dict[str, Any] = Field(default_factory=dict, description="its settings")


def calls_per_query(what: str, asked: int | None, budget: Budget, documents: int) -> int:
    """Calls that a query gets: as asked for, else as the budget allows, else 100; never more than documents.

    Raises:
        BudgetError: more are asked for than the budget allows.
    """
    allowed = budget.scorer_calls
    if asked is not None and allowed is not None and min(asked, documents) > allowed:
        raise BudgetError(f"{what}: spends {asked} scorer calls per query, the budget allows {allowed} (scorer_calls)")
    return min(asked or allowed or DEFAULT_CALLS, documents)


def same_scorer(folder: Any, scorer: Scorer, revision: str) -> None:
    """Refuse a saved ranker whose scorer gives other scores now.

    Raises:
        ArtifactError: says which revision was there.
    """
    if scorer.revision != revision:
        raise ArtifactError(
            f"{folder}: was built with the scorer {scorer.name!r} of revision {revision}, here it is "
            f"{scorer.revision}: bring back that model, or build again"
        )


def two_tiers(
    k: int, rows: IntArray, scores: FloatArray, others: IntArray, guesses: FloatArray
) -> tuple[IntArray, FloatArray]:
    """The k best: what was scored, by its score; below it what was not, by what is guessed.

    Args:
        k: hits wanted.
        rows: (s,) scored documents.
        scores: (s,) theirs.
        others: (o,) documents that were not scored.
        guesses: (o,) on any scale; they are moved below the least score.

    Returns:
        ``rows`` and ``scores`` (k,), padded with -1 and -inf.
    """
    order = np.lexsort((rows, -scores))[:k]
    rest = np.lexsort((others, -guesses))[: k - len(order)]
    found = np.full(k, -1, np.int64)
    values = np.full(k, -np.inf, np.float32)
    filled = len(order) + len(rest)
    found[:filled] = np.concatenate([rows[order], others[rest]])
    values[: len(order)] = scores[order]
    if len(rest):
        top = guesses[rest[0]]
        values[len(order) : filled] = guesses[rest] - top + np.nextafter(scores.min(), np.float32(-np.inf))
    return found, values
