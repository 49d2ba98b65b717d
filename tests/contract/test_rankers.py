"""Every registered ranker passes the contract."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from retrieval_bench.contract import RankerSubject, checks, ranker_subject
from retrieval_bench.errors import UnavailableError
from retrieval_bench.registry import rankers

# A Java machine takes over signals of the process that it runs in, as the trials of a run have one each: so it gets
# a process of its own here too, and the tests after it are not run beside it.
JAVA = {"lucene"}


@pytest.mark.parametrize("check", checks("ranker"), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(set(rankers.names()) - JAVA))
def test_contract(name: str, check: Callable[[RankerSubject], None]) -> None:
    try:
        subject = ranker_subject(name)
    except UnavailableError as error:
        pytest.skip(str(error))
    check(subject)


@pytest.mark.parametrize("name", sorted(JAVA))
def test_contract_in_a_process_of_its_own(name: str) -> None:
    try:
        rankers.get(name)
    except UnavailableError as error:
        pytest.skip(str(error))
    command = [sys.executable, "-c", f"from retrieval_bench.contract import check_ranker; check_ranker({name!r})"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
