"""The finalists of a run, measured in turns: timings that lie minutes apart do not say which of two is faster.

Nor does one pair of processes, unless the difference is plain: new pairs are asked before one is called faster.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TypeGuard

import numpy as np
import psutil

from retrieval_bench.errors import DataError, RetrievalBenchError, UsageError
from retrieval_bench.records import Store, Turns
from retrieval_bench.runner.race import SAMPLE_SECONDS, Contender, Race, contender, race, ratio_in_new_processes
from retrieval_bench.statistics import Ratio, fresh_pairs, paired_ratio, plain
from retrieval_bench.types import TrialRecord

NEAR = 2.0
"""Systems that seemed so many times slower than the fastest are taken for slower, and not measured again."""
_LEAST, _MOST = 6, 20  # rounds; fewer than six give no interval of 95 %
_AGAIN = 2.0  # times the seconds of the first measuring: the most for asking new pairs of processes


def near_the_fastest(speeds: Sequence[float], hopeful: Iterable[float] | None = None) -> list[int]:
    """Places of those that may be the fastest, were they measured again; ``hopeful`` is what they may be at most."""
    return [place for place, speed in enumerate(speeds if hopeful is None else hopeful) if speed * NEAR >= max(speeds)]


def in_turns(store: Store, trials: Sequence[TrialRecord], *, seconds: float) -> Turns | str:
    """Serve trials side by side and measure them in turns; ask new pairs of processes whether the fastest is faster.

    Args:
        store: with their built indexes.
        trials: two or more of one data set and kind.
        seconds: most time of the measuring, and twice as much again for new pairs.

    Returns:
        Their speeds, and what is said of the fastest and the first that is not told from it, else the second; or why
        they were not measured so.
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
    rounds = min(_MOST, int(seconds / sum(each)))
    try:
        done = race(racing, looks=1, rounds=rounds, seconds=seconds)
        return _judged(done, racing, rounds=rounds, seconds=_AGAIN * seconds)
    except RetrievalBenchError as error:
        return str(error)


def _judged(done: Race, racing: Sequence[Contender], *, rounds: int, seconds: float) -> Turns:
    """What a race and new pairs of processes say of the fastest: told from every other, or not from one of them."""
    medians = np.median(done.seconds, axis=0)
    fastest, *others = np.argsort(medians, kind="stable")
    qps = {done.names[i]: done.queries / float(medians[i]) for i in (fastest, *others)}
    start = time.perf_counter()
    said: list[Turns] = []
    for other in others:
        pair = (racing[fastest], racing[other])

        one = paired_ratio(done.seconds[:, other], done.seconds[:, fastest])
        left = seconds - (time.perf_counter() - start)
        said.append(lead(pair, one, rounds=rounds, seconds=left).model_copy(update={"qps": qps}))
        if not said[-1].told:
            return said[-1]
    return said[0]


def lead(pair: Sequence[Contender], one: Ratio, *, rounds: int, seconds: float) -> Turns:
    """Whether the first of a pair is faster: as one pair of processes says where that is plain, else as new ones do.

    Args:
        pair: two contenders.
        one: how many times faster the first was in the processes measured so far.
        rounds: for each new pair.
        seconds: after so long no new pair is begun.
    """
    start = time.perf_counter()

    def once_more(before: int) -> float | None:
        left = seconds - (time.perf_counter() - start)
        return None if left <= 0 else ratio_in_new_processes(pair, before, looks=1, rounds=rounds, seconds=left)

    turns = Turns(
        qps={}, rival=pair[1].name, ratio=one.value, low=one.low, high=one.high, rounds=one.rounds,
        told=plain(one.low, one.high),
    )  # fmt: skip
    pairs = None if turns.told or not one.low > 1 else fresh_pairs(once_more)
    if pairs is None or len(pairs.ratios) < 2:
        return turns
    low, high = pairs.interval
    over = {"ratio": pairs.ratio, "low": low, "high": high, "processes": len(pairs.ratios)}
    return turns.model_copy(update={**over, "told": pairs.claimed})


def usable_again(before: Turns | None, trials: Sequence[str]) -> TypeGuard[Turns]:
    """Whether these trials have been measured in turns before, and by the rules of today."""
    return before is not None and bool(before.rival) and set(before.qps) == set(trials)


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
        if usable_again(before, [trial.trial_id for trial in trials]):
            return before
        if self._seconds <= 0:
            return ""
        start = time.perf_counter()
        found = in_turns(self._store, trials, seconds=self._seconds)
        self.spent += time.perf_counter() - start
        return found
