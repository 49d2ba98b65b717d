"""The checks that every plug-in must pass, ours or yours.

In the tests of a package that adds a backend::

    from retrieval_bench.contract import checks, index_subject

    @pytest.mark.parametrize("check", checks("index"), ids=lambda check: check.__name__)
    def test_contract(check):
        check(index_subject("my_backend"))

``python -m retrieval_bench.contract my_backend`` runs them too, and with ``--awkward`` every case of awkward data (far
from the origin, of extreme lengths, repeated, sparse ...) under every metric: each is answered right at full effort, or
refused with an error that names the trait.

A check raises ContractError, whose text says what was expected. ``check_hits`` also checks the answers of every trial.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from retrieval_bench.contract._hits import ContractError, check_hits
from retrieval_bench.contract._index import CHECKS as _INDEX_CHECKS
from retrieval_bench.contract._ranker import CHECKS as _RANKER_CHECKS
from retrieval_bench.contract._ranker import RankerSubject, ranker_subject
from retrieval_bench.contract._subject import IndexSubject, index_subject

__all__ = [
    "ContractError",
    "IndexSubject",
    "RankerSubject",
    "check_hits",
    "check_index",
    "check_ranker",
    "checks",
    "index_subject",
    "ranker_subject",
]


def checks(kind: Literal["index", "ranker"]) -> list[Callable[[Any], None]]:
    """All checks of a kind: functions of an IndexSubject or a RankerSubject, named after what they check."""
    return list(_INDEX_CHECKS if kind == "index" else _RANKER_CHECKS)


def check_index(name: str) -> None:
    """Run all checks over a registered backend.

    Raises:
        ContractError: at the first promise that is broken.
        UnknownNameError, UnavailableError: there is no such backend, or its engine is not installed.
    """
    for check in _INDEX_CHECKS:
        check(index_subject(name))


def check_ranker(name: str) -> None:
    """Run all checks over a registered ranker; raises as check_index does."""
    for check in _RANKER_CHECKS:
        check(ranker_subject(name))
