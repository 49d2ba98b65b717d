"""Which of two programs is faster, asked of fresh pairs of processes: Wald's sequential test of signs.

Where its memory lies makes a process some per cent faster or slower for as long as it lives, which no number of rounds
between the same two processes shows (Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time", take
executions as a level of their own for this). So the unit of the last word is the pair of processes: were the programs
equally fast, each new pair would favour either of them by chance, however far processes differ. The pairs are counted
by a sequential probability ratio test (Wald 1945, "Sequential tests of statistical hypotheses") of one half against
FAVOUR, which needs no distribution and ends early for equal programs and for plain differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from retrieval_bench.errors import UsageError
from retrieval_bench.statistics.intervals import median_interval
from retrieval_bench.statistics.samples import check_share

FAVOUR = 0.85
"""Share of pairs that favour the faster of two programs that differ by about as much as processes of equal code do."""
PLAIN = 1.25
"""A ratio that an interval within one pair puts beyond this needs no other pair: between processes of equal code none
was half as far from 1, on a machine with other work (docs/process_offsets.md)."""
MOST = 40  # pairs; a test that is still open then claims nothing


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What fresh pairs of processes say of a claim that the first of two programs is faster.

    Attributes:
        ratios: of each pair, how many times faster the first is.
        claimed: whether they bear the claim out.
        p: of as many pairs favouring the first were the two equally fast; it holds however long one went on (the
            inequality of Ville).
    """

    ratios: tuple[float, ...]
    claimed: bool
    p: float

    @property
    def ratio(self) -> float:
        """The median over the pairs; NaN where there was none."""
        return float(np.median(self.ratios)) if self.ratios else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the median over the pairs (see ``median_interval``)."""
        return median_interval(self.ratios)


def plain(low: float, high: float) -> bool:
    """Whether the interval of a ratio within one pair of processes leaves no doubt for other pairs to settle."""
    return low > PLAIN or high < 1 / PLAIN


def fresh_pairs(
    measure: Callable[[int], float | None], *, first: Sequence[float] = (), level: float = 0.05, power: float = 0.8,
    most: int = MOST,
) -> Pairs:  # fmt: skip
    """Measure pair after pair of new processes until they bear out that the first program is faster, or will not.

    Args:
        measure: starts a pair, given how many were measured before, and returns how many times faster the first
            program is; None where there is no time for it, which ends the test without a claim.
        first: ratios of pairs that were measured before, and that had no part in choosing which program comes first.
        level: probability of the claim where the programs are equally fast, held exactly whatever the noise.
        power: probability of the claim, nearly, where a share FAVOUR of all pairs favours the first.
        most: pairs in all.

    Raises:
        UsageError: level or power outside (0, 1), a ratio that is not above 0.
    """
    check_share("level", level)
    check_share("power", power)
    ratios: list[float] = []
    evidence = 0.0  # logarithm of the likelihood ratio
    before = list(first)
    while evidence < -math.log(level) and evidence > math.log(1 - power) and len(ratios) < most:
        ratio = before.pop(0) if before else measure(len(ratios))
        if ratio is None:
            break
        if not ratio > 0:
            raise UsageError(f"a pair of processes gave the ratio {ratio}: seconds must be above 0")
        ratios.append(ratio)
        evidence += math.log(2 * FAVOUR if ratio > 1 else 2 * (1 - FAVOUR))
    return Pairs(ratios=tuple(ratios), claimed=evidence >= -math.log(level), p=min(1.0, math.exp(-evidence)))
