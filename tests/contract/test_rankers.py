"""Every registered ranker passes the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from retrieval_bench.contract import RankerSubject, checks, ranker_subject
from retrieval_bench.errors import UnavailableError
from retrieval_bench.registry import rankers


@pytest.mark.parametrize("check", checks("ranker"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", rankers.names())
def test_contract(name: str, check: Callable[[RankerSubject], None]) -> None:
    try:
        subject = ranker_subject(name)
    except UnavailableError as error:
        pytest.skip(str(error))
    check(subject)
