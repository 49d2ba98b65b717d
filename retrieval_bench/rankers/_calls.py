"""What rankers that spend scorer calls share: the scorer, and how many calls they may spend."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from retrieval_bench.errors import ArtifactError, BudgetError
from retrieval_bench.protocols import Scorer
from retrieval_bench.types import Budget, Params

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
