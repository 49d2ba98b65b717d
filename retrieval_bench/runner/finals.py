"""The finalists of a run, measured in turns: timings that lie minutes apart do not say which of two is faster."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import psutil

from retrieval_bench.errors import DataError, RetrievalBenchError, UsageError
from retrieval_bench.records import Store, Turns
from retrieval_bench.runner.race import SAMPLE_SECONDS, contender, race
from retrieval_bench.statistics import paired_ratio
from retrieval_bench.types import TrialRecord

NEAR = 2.0
"""Systems that seemed so many times slower than the fastest are taken for slower, and not measured again."""
_LEAST, _MOST = 6, 20  # rounds; fewer than six give no interval of 95 %


def near_the_fastest(speeds: Sequence[float]) -> list[int]:
    """Places of those that may be the fastest, were they measured again."""
    return [place for place, speed in enumerate(speeds) if speed * NEAR >= max(speeds)]


def in_turns(store: Store, trials: Sequence[TrialRecord], *, seconds: float) -> Turns | str:
    """Serve trials side by side and measure them in turns.

    Args:
        store: with their built indexes.
        trials: two or more of one data set and kind.
        seconds: most time of the measuring.

    Returns:
        Their speeds, or why they were not measured so.
    """
    found = [contender(store, trial, trial.trial_id) for trial in trials]
    racing = [one for one in found if one is not None]
    if len(racing) < len(trials):
        return "a built index was removed"
    each = [max(SAMPLE_SECONDS, t.queries / (t.value("batch_qps") or t.queries / seconds)) for t in trials]
    if sum(each) * _LEAST > seconds:
        return f"{_LEAST} rounds would take more than {seconds:.3g} s"
    if sum(trial.value("private_bytes") or 0 for trial in trials) > psutil.virtual_memory().available / 2:
        return "together they would take more than half of the free memory"
    try:
        done = race(racing, looks=1, rounds=min(_MOST, int(seconds / sum(each))), seconds=seconds)
    except RetrievalBenchError as error:
        return str(error)
    medians = np.median(done.seconds, axis=0)
    first, second = np.argsort(medians, kind="stable")[:2]
    ratio = paired_ratio(done.seconds[:, second], done.seconds[:, first])
    return Turns(
        qps={done.names[i]: done.queries / float(medians[i]) for i in np.argsort(medians, kind="stable")},
        ratio=ratio.value, low=ratio.low, high=ratio.high, rounds=len(done.seconds),
    )  # fmt: skip


class Finals:
    """The finals of a run: measured once, and taken up again by the next call that has the same finalists.

    Attributes:
        spent: seconds.
    """

    def __init__(self, store: Store, *, seconds: float) -> None:
        self._store, self._seconds = store, seconds
        self.spent = 0.0

    def in_turns(self, trials: Sequence[TrialRecord]) -> Turns | str:
        """As the function of this name; an empty text where no time was given for it."""
        try:
            before = self._store.summary().turns
        except (UsageError, DataError):
            before = None
        if before is not None and set(before.qps) == {trial.trial_id for trial in trials}:
            return before
        if self._seconds <= 0:
            return ""
        start = time.perf_counter()
        found = in_turns(self._store, trials, seconds=self._seconds)
        self.spent += time.perf_counter() - start
        return found
