"""Every registered backend passes the contract, and every card asks for what its backend has."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from retrieval_bench.contract import IndexSubject, checks, index_subject
from retrieval_bench.errors import UnavailableError
from retrieval_bench.registry import indexes
from retrieval_bench.specs import params, system_cards


@pytest.mark.parametrize("check", checks("index"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", indexes.names())
def test_contract(name: str, check: Callable[[IndexSubject], None]) -> None:
    try:
        subject = index_subject(name)
    except UnavailableError as error:
        pytest.skip(str(error))
    check(subject)


@pytest.mark.parametrize("card", system_cards("index").values(), ids=lambda card: card.name)
def test_cards_are_valid(card) -> None:  # type: ignore[no-untyped-def]
    try:
        backend = indexes.get(card.backend)
    except UnavailableError as error:
        pytest.skip(str(error))
    params(backend.BuildParams, card.build, where=card.name)
    for setting in card.settings():
        params(backend.SearchParams, setting, where=card.name)
    assert len(card.settings()) <= 8
