"""How an error ends a build or a trial."""

from __future__ import annotations

from retrieval_bench.contract import ContractError
from retrieval_bench.errors import RetrievalBenchError
from retrieval_bench.measure.device_memory import ending
from retrieval_bench.types import Budget, Outcome


def outcome_of(error: Exception, budget: Budget) -> tuple[Outcome, str] | None:
    """Outcome and reason; None for an error that nobody foresaw, of which the traceback tells more."""
    short = ending(error, budget)
    if short is not None:
        return short
    if isinstance(error, ContractError):
        return "crashed", f"broke the contract: {error}"
    if isinstance(error, RetrievalBenchError):
        return "refused", str(error)
    return None
