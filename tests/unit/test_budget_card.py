"""All limits in one card, single ones replaced on the command line; a card's search space is no part of its hash."""

from pathlib import Path

import pytest

from retrieval_bench.cli.budget import budget_from
from retrieval_bench.errors import CardError
from retrieval_bench.runner.measurements import unreported
from retrieval_bench.specs import SystemCard, system_card
from retrieval_bench.types import Budget

CARD = """
bytes_per_vector = 64
index_bytes = 1000000
peak_bytes = 2000000000
device_bytes = 1000000000
build_seconds = 60
latency_ms = 5
latency_percentile = 99
scorer_calls = 100
build_scorer_calls = 5000
tuning_trials = 20
tuning_seconds = 600
threads = 1
"""


def test_a_card_sets_every_limit_and_options_replace_them(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(CARD)
    budget = budget_from(tmp_path / "b.toml", {"latency_ms": 2.0, "threads": None})
    assert all(getattr(budget, name) is not None for name in Budget.model_fields)
    assert (budget.latency_ms, budget.latency_percentile, budget.threads) == (2.0, 99, 1)
    assert budget_from(None, {"threads": 2}) == Budget(threads=2)


def test_an_unknown_limit_is_named_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text("latency = 5\n")
    with pytest.raises(CardError, match="'latency', did you mean 'latency_ms'"):
        budget_from(tmp_path / "b.toml", {})
    with pytest.raises(CardError, match="threads"):
        budget_from(None, {"threads": 0})


def test_a_search_space_does_not_change_what_a_card_asks_for() -> None:
    card = system_card("hnsw")
    assert card.space is not None
    assert card.model_copy(update={"space": None}).hash == card.hash
    with pytest.raises(ValueError, match="low < high"):
        SystemCard.model_validate({**card.model_dump(), "space": {"search": {"ef": {"low": 5, "high": 5}}}})


def test_an_account_of_memory_is_believed_within_the_engines_own_space() -> None:
    assert unreported(1 << 30, (1 << 30) + (100 << 20)) == ""
    assert "private memory" in unreported(1 << 30, (1 << 30) + (120 << 20))
