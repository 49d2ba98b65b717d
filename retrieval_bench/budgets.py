"""What a budget allows an index of n vectors, and how a backend says that it cannot be met."""

from __future__ import annotations

from retrieval_bench.errors import BudgetError
from retrieval_bench.types import Budget


def allowed_bytes(budget: Budget, n: int) -> int | None:
    """Analytic bytes that an index of n vectors may have in all; None when there is no limit.

    The smaller of ``index_bytes`` and ``n * bytes_per_vector``.
    """
    limits = []
    if budget.index_bytes is not None:
        limits.append(budget.index_bytes)
    if budget.bytes_per_vector is not None:
        limits.append(int(budget.bytes_per_vector * n))
    return min(limits, default=None)


def require_bytes(what: str, needed: int, budget: Budget, n: int) -> None:
    """Refuse to build what does not fit.

    Args:
        what: the backend and its parameters, as the error shall name them.
        needed: the fewest bytes with which it can be built.
        budget: the limits.
        n: number of vectors.

    Raises:
        BudgetError: says how many bytes are needed, in all and per vector, and how many are allowed.
    """
    allowed = allowed_bytes(budget, n)
    if allowed is not None and needed > allowed:
        raise BudgetError(
            f"{what} needs at least {needed} bytes ({needed / n:.2f} per vector); "
            f"the budget allows {allowed} ({allowed / n:.2f} per vector)"
        )
