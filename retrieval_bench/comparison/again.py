"""A difference in speed that one pair of processes shows, asked again in new ones before it is claimed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from retrieval_bench.comparison.verdict import Finding
from retrieval_bench.statistics import Pairs, fresh_pairs, plain


def asked_again(found: Finding, once_more: Callable[[int], float | None], *, level: float = 0.05) -> Finding:
    """The finding as new pairs of processes leave it (see ``statistics.processes``), which alone decide.

    Args:
        found: what the first pair of processes showed, a ratio; it says which side is asked about, and no more, unless
            it is plain.
        once_more: measures a new pair, given how many were measured before; returns its ratio, None where there is no
            time for it.
        level: error allowed to the claim, of either side.
    """
    if not found.different or plain(found.low, found.high):
        return found
    if found.change > 1:
        return over_pairs(found, fresh_pairs(once_more, level=level))

    def turned(before: int) -> float | None:
        ratio = once_more(before)
        return None if ratio is None else 1 / ratio

    return over_pairs(found, fresh_pairs(turned, level=level), turned=True)


def over_pairs(found: Finding, pairs: Pairs, *, turned: bool = False) -> Finding:
    """The finding with what several pairs of processes say in place of what one said.

    Args:
        found: of one pair.
        pairs: several; fewer than two claim nothing and leave the interval of the one.
        turned: whether their ratios are those of the second system over the first.
    """
    if len(pairs.ratios) < 2:
        return replace(found, different=False, p=1.0)
    low, high = pairs.interval
    ends = (1 / high, 1 / low) if turned else (low, high)
    return replace(
        found, change=1 / pairs.ratio if turned else pairs.ratio, low=ends[0], high=ends[1], different=pairs.claimed,
        p=pairs.p, processes=len(pairs.ratios),
    )  # fmt: skip
