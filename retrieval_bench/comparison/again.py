"""A difference in speed that one pair of processes shows, asked again in new ones before it is claimed.

Where its memory lies makes a process one or two per cent faster or slower for as long as it lives, which no number of
rounds between the same two processes shows (Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time", take
executions as a level of their own for this). So the unit of the last word is the pair of processes: were the systems
equally fast, each new pair would favour either side by chance, however large that effect is. All pairs agreeing on one
side is then a sign test, and least to greatest ratio an interval of the same confidence.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace

from retrieval_bench.comparison.verdict import Finding

PLAIN = 1.25
"""A ratio that an interval within one pair puts beyond this is claimed at once: between processes of equal code none
was half as far from 1, on a machine with other work (docs/process_offsets.md)."""


def asked_again(found: Finding, once_more: Callable[[int], float], *, level: float = 0.05) -> Finding:
    """The finding as new pairs of processes leave it: claimed only where all of them favour the same side.

    Ends with the first pair that does not.

    Args:
        found: what the first pair of processes showed, a ratio.
        once_more: measures a new pair, given how many were measured before; returns its ratio.
        level: error allowed to the claim, of either side; ``ceil(log2(1 / level))`` further pairs are asked.
    """
    if not found.different or found.low > PLAIN or found.high < 1 / PLAIN:
        return found
    ratios = [found.change]
    held = True
    while held and len(ratios) <= math.ceil(math.log2(1 / level)):
        ratios.append(once_more(len(ratios)))
        held = (ratios[-1] > 1) == (found.change > 1)
    return replace(
        found, change=statistics.median(ratios), low=min(ratios), high=max(ratios), different=held,
        p=max(found.p, 0.5 ** (len(ratios) - 1)) if held else 1.0, processes=len(ratios),
    )  # fmt: skip
