"""A budget on the command line: a card, single limits, or both, the single limits then replacing the card's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from retrieval_bench.types import Budget

BudgetFile = Annotated[
    Path | None, typer.Option("--budget", help="A TOML file of limits (any of Budget's fields); options replace them.")
]


def budget_from(path: Path | None, limits: Mapping[str, Any]) -> Budget:
    """The budget of a card with these limits in place of its own; a limit of None leaves the card's.

    Raises:
        CardError: the file cannot be read, an unknown limit (with the nearest names), or a bad value.
    """
    from retrieval_bench.specs import budget_card, validated

    given = {name: value for name, value in limits.items() if value is not None}
    own = budget_card(path) if path is not None else Budget()
    return validated(Budget, {**own.model_dump(), **given}, where="budget")
