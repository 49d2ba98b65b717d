"""A pytest plug-in: the fixture ``interleaved`` fails a benchmark that is slower than another, or answers worse.

It is found by pytest through an entry point when the package is installed. Where pytest-benchmark is in use, the calls
appear in its table, and the ratio among what it stores (``extra_info``).

    def test_new_search_is_no_slower_and_no_worse(interleaved):
        interleaved(
            lambda: new.search(queries), against=lambda: old.search(queries), quality=lambda answers: recalls(answers)
        )
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from retrieval_bench.comparison import Finding

Interleaved = Callable[..., "Finding"]


@pytest.fixture
def interleaved(request: pytest.FixtureRequest) -> Interleaved:
    """Call ``interleaved(call, against=other)``: measures both in turns and fails if ``call`` is shown to be worse.

    Further arguments: ``quality``, a function from what a call returns to values per query, (m,) floats, higher is
    better, compared by a paired randomization test; ``slack``, a share of slowdown that is still fine (0.05 is 5 %);
    ``looks`` and ``rounds`` of the group-sequential test of speed. Returns the finding on speed; a ratio above 1 is
    faster. Of several calls in one test, pytest-benchmark shows the first.
    """
    benchmark: Any = (
        request.getfixturevalue("benchmark") if request.config.pluginmanager.hasplugin("benchmark") else None
    )

    def measure(
        call: Callable[[], object],
        *,
        against: Callable[[], object],
        quality: Callable[[Any], Any] | None = None,
        slack: float = 0.0,
        looks: int = 5,
        rounds: int = 12,
    ) -> Finding:
        nonlocal benchmark
        from retrieval_bench.comparison import judge_quality
        from retrieval_bench.regress.in_process import measured_in_turns

        answers = None if quality is None else judge_quality("quality", quality(call()), quality(against()))
        found = measured_in_turns(call, against, slack=slack, looks=looks, rounds=rounds)
        if benchmark is not None:
            benchmark.extra_info["times_faster"] = [found.change, found.low, found.high]
            benchmark(call)
            benchmark = None  # it can be used once
        worse = [f.text for f in (answers, found) if f is not None and f.word == "worse"]
        if worse:
            pytest.fail("\n".join(worse), pytrace=False)
        return found

    return measure
