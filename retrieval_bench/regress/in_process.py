"""Two calls of one process measured in turns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from retrieval_bench.comparison import Finding, judge_speed
from retrieval_bench.measure.clock import timed
from retrieval_bench.statistics import GroupSequential

_SAMPLE_SECONDS = 0.005  # shorter calls are repeated within one sample


def measured_in_turns(
    call: Callable[[], object], against: Callable[[], object], *, slack: float = 0.0, looks: int = 5, rounds: int = 12,
    seed: int = 0,
) -> Finding:  # fmt: skip
    """Compare the speed of two calls by a group-sequential test.

    Args:
        call: what is judged.
        against: what it is compared with.
        slack: share by which ``call`` may be slower and still be counted as equal.
        looks: most looks at the data.
        rounds: of each look.
        seed: of the order within a round.
    """
    calls = (call, against)
    repeats = [_repeats(c) for c in calls]
    test, rng = GroupSequential(["call", "against"], looks=looks, seed=seed), np.random.default_rng(seed)
    samples: list[list[float]] = []
    while not test.finished:
        block = []
        for _ in range(rounds):
            row = [0.0, 0.0]
            for i in rng.permutation(2):
                row[i] = timed(lambda i=i: [calls[i]() for _ in range(repeats[i])])[1] / repeats[i]  # type: ignore[misc]
            block.append([row[0] / (1 + slack), row[1]])
        samples += block
        test.look(np.log(block))
    seconds = np.array(samples)
    return judge_speed(seconds[:, 0], seconds[:, 1], decided=bool(test.decided), what="speed, measured in turns")


def _repeats(call: Callable[[], object]) -> int:
    call()
    return max(1, round(_SAMPLE_SECONDS / max(timed(call)[1], 1e-9)))
