"""Dynamic resampling: which labelled records a classifier learns from, and how often, while few of them are relevant.

ASReview's balance strategy ``double`` (Ferdinands et al. 2023, Systematic Reviews 12:100): relevant records are
repeated and others left out, so that the sample is as large as the labelled set and the share of the relevant in it
depends on how many are known.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from retrieval_bench.types import Frozen, IntArray


class Balance(Frozen):
    """Settings of the resampling; the defaults are ASReview's."""

    a: float = Field(default=2.155, gt=0, description="weight of the relevant")
    alpha: float = Field(default=0.94, ge=0, description="how much more they weigh the fewer they are")
    b: float = Field(default=0.789, ge=0, le=1, description="weight of the others; 1: whatever has been read")
    beta: float = Field(default=1.0, ge=0, description="how fast the others gain weight as more is read")

    def relevant_share(self, relevant: int, others: int) -> float:
        """The share of the sample that is relevant, of a labelled set with so many of each (at least one)."""
        one = self.a * math.pow(relevant / others, -self.alpha)
        zero = 1 - (1 - self.b) * math.pow(1 + math.log(relevant + others), -self.beta)
        return one * relevant / (one * relevant + zero * others)


def resample(relevant: IntArray, others: IntArray, n: int, balance: Balance, rng: np.random.Generator) -> IntArray:
    """How often each record stands in the training sample, which is as large as the labelled set.

    Args:
        relevant: (r,) rows of the labelled records that are relevant, at least one.
        others: (s,) rows of those that are not, at least one.
        n: records in all.
        balance: settings.
        rng: draws what is left over after every record has been taken equally often.

    Returns:
        (n,) int64.
    """
    total = len(relevant) + len(others)
    wanted = balance.relevant_share(len(relevant), len(others)) * total
    chosen = math.floor(wanted)
    chosen += rng.random() < wanted - chosen  # rounded up as often as the fraction says
    chosen = max(1, min(total - 2, chosen))
    times = np.zeros(n, np.int64)
    for rows, size in ((relevant, chosen), (others, total - chosen)):
        copies, rest = divmod(size, len(rows))
        times[rows] = copies
        times[rng.choice(rows, rest, replace=False)] += 1
    return times
